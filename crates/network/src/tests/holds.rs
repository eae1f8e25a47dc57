// SPDX-License-Identifier: Apache-2.0
//! What is made stays as long as it has to, and no longer.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, pause};

use super::world::{Namespace, World};
use crate::firewall::table;
use crate::setup::{self, Wanted};

/// Waits until something is so; the kernel takes namespaces apart in its own time.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        thread::yield_now();
    }
}

fn has_table(world: &World, name: &str) -> bool {
    // The table's socket is dropped at once, and the table goes with it.
    world.host.run(|| !table::make(&table::socket().unwrap(), name, "").unwrap_or(false))
}

#[gate::root_test]
fn a_killed_holder_leaves_nothing_on_the_host() {
    let world = World::new();
    let pod = world.pod(&["8080:80"]);
    let veth = pod.reserved.plan.veth();
    // A process that holds the descriptors, as the reaper does.
    let ForkResult::Parent { child } = sys::process::fork().unwrap() else {
        pause();
        sys::process::exit_at_once(0);
    };
    let super::world::Pod { namespace, reserved, .. } = pod;
    drop(reserved);
    assert!(has_table(&world, &veth), "its holder lives");
    assert_eq!(world.outside.tcp("192.0.2.1:8080").unwrap(), "192.0.2.2");

    kill(child, Signal::SIGKILL).unwrap();
    waitpid(child, None).unwrap();
    until("the table is gone", || !has_table(&world, &veth));
    until("the port is free", || world.host.run(|| TcpListener::bind("0.0.0.0:8080").is_ok()));
    assert!(world.outside.is_barred("192.0.2.1:8080"));
    assert!(world.host.has_link(&veth), "the pod's namespace is still there");
    // Its servers' threads have sockets in the namespace.
    drop(namespace);
}

#[gate::root_test]
fn a_veth_goes_with_the_pods_namespace() {
    let world = World::new();
    let namespace = Namespace::new();
    let reserved = world.reserve(&[]).unwrap();
    world.host.run(|| reserved.connect(namespace.as_fd())).unwrap();
    let veth = reserved.plan.veth();
    assert!(world.host.has_link(&veth));
    drop(namespace);
    until("the veth is gone", || !world.host.has_link(&veth));
}

#[gate::root_test]
fn a_number_whose_veth_is_still_there_is_passed_over() {
    let world = World::new();
    let namespace = Namespace::new();
    let asked = super::world::wanted(&[]);
    let reserve = || world.host.run(|| crate::setup::reserve(&asked)).unwrap();
    let first = reserve();
    world.host.run(|| first.connect(namespace.as_fd())).unwrap();
    let number = first.plan.number;
    assert_eq!(reserve().plan.number, number + 1, "its table is there");
    drop(first);
    assert_eq!(reserve().plan.number, number + 1, "its veth is there");
    drop(namespace);
    until("the number is free", || reserve().plan.number == number);
}

#[gate::root_test]
fn what_fails_half_way_goes_with_the_pod() {
    let world = World::new();
    let namespace = Namespace::new();
    let reserved = world.reserve(&[]).unwrap();
    let veth = reserved.plan.veth();
    world.host.run(|| reserved.connect(namespace.as_fd())).unwrap();
    let error = world.host.run(|| reserved.connect(namespace.as_fd())).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot make veth {veth}"));
    drop((namespace, reserved));
    until("all is gone", || !world.host.has_link(&veth) && !has_table(&world, &veth));
}

#[gate::root_test]
fn a_pod_that_has_ended_lets_go_of_its_ports_and_is_guarded_still() {
    let world = World::new();
    let pod = world.pod(&["8080:80"]);
    assert_eq!(world.outside.tcp("192.0.2.1:8080").unwrap(), "192.0.2.2");
    assert!(world.reserve(&["8080:80"]).is_err(), "the pod has its port");

    world.host.run(|| pod.reserved.let_go_of_ports());
    assert!(world.outside.is_barred("192.0.2.1:8080"), "nothing leads to the pod");
    let next = world.reserve(&["8080:80"]).unwrap();
    assert!(has_table(&world, &pod.reserved.plan.veth()), "what guards the pod stays");
    drop(next);
    // As if it had ended before it was connected.
    world.reserve(&["8080:80"]).unwrap().let_go_of_ports();
    world.reserve(&["8080:80"]).unwrap();
}

/// Sets a pod's network up in a process that is killed at one of its system calls: when it has entered or left `calls`
/// of them. Returns whether it was killed before it was done.
fn is_killed_after(world: &World, asked: &Wanted, calls: usize) -> bool {
    let ForkResult::Parent { child } = sys::process::fork().unwrap() else {
        ptrace::traceme().unwrap();
        raise(Signal::SIGSTOP).unwrap();
        let all = world.host.run(|| {
            let host = File::open("/proc/thread-self/ns/net").unwrap();
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let pod = File::open("/proc/thread-self/ns/net").unwrap();
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            let reserved = setup::reserve(asked).unwrap();
            reserved.connect(pod.as_fd()).unwrap();
            reserved.settle().unwrap();
            (reserved, pod)
        });
        std::mem::forget(all);
        sys::process::exit_at_once(0);
    };
    for _ in 0..=calls {
        match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                return false;
            }
            WaitStatus::Stopped(..) => ptrace::syscall(child, None).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    kill(child, Signal::SIGKILL).unwrap();
    while !matches!(waitpid(child, None).unwrap(), WaitStatus::Signaled(..) | WaitStatus::Exited(..)) {}
    true
}

/// Says to this test that it runs in a process of its own.
const ALONE: &str = "GANTRY_TEST_ALONE";

#[gate::root_test]
fn whenever_set_up_is_killed_nothing_is_left_on_the_host() {
    // The processes that it forks have copies of all descriptors, and would keep other tests' ports.
    if std::env::var_os(ALONE).is_none() {
        let name = "tests::holds::whenever_set_up_is_killed_nothing_is_left_on_the_host";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let world = World::new();
    let mut calls = 0;
    loop {
        let asked = super::world::wanted(&["8080:80", "5353:53/udp"]);
        let veth = world.host.run(|| setup::preview(&asked)).unwrap().veth();
        let is_killed = is_killed_after(&world, &asked, calls);
        let is_clean = || {
            let ports = || TcpListener::bind("0.0.0.0:8080").is_ok();
            let routes = world.host.run(|| fs::read_to_string("/proc/thread-self/net/route")).unwrap();
            !world.host.has_link(&veth) && !routes.contains("gantry") && world.host.run(ports)
        };
        until(&format!("all is gone after {calls} stops"), || is_clean() && !has_table(&world, &veth));
        if !is_killed {
            break;
        }
        calls += 1;
    }
    assert!(calls > 100, "a system call stops twice: {calls}");
}

#[gate::root_test]
fn fifty_pods_at_once_are_all_reached_and_all_gone_after() {
    let world = World::new();
    let start = |number: u16| {
        let world = &world;
        move || world.pod(&[&format!("{}:80", 10_000 + number)])
    };
    let pods: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..50).map(|number| scope.spawn(start(number))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for number in 0..50 {
        assert_eq!(world.outside.tcp(&format!("192.0.2.1:{}", 10_000 + number)).unwrap(), "192.0.2.2");
    }
    let names: Vec<_> = pods.iter().map(|pod| pod.reserved.plan.veth()).collect();
    drop(pods);
    until("all tables are gone", || names.iter().all(|name| !has_table(&world, name)));
}
