// SPDX-License-Identifier: Apache-2.0
//! How fast one stream of TCP is: to a published port, from a pod, and beside the host's loopback and podman's bridge.
//!
//! All of it is in network namespaces of its own: a host, and a neighbour outside on a veth. The contenders take turns.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use testing::image::manifest;
use testing::pods::Gantry;
use testing::program;
use testing::rootfs::{Node, Rootfs};

use crate::goals::Goal;
use crate::work::{CGROUP, Work};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

const WORLD: &str = "ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip netns add outside
    ip link add up0 type veth peer name eth0 netns outside
    ip address add 192.0.2.1/24 dev up0
    ip link set up0 up
    ip route add default via 192.0.2.2
    ip -n outside address add 192.0.2.2/24 dev eth0
    ip -n outside link set eth0 up";

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) rounds: usize,
}

/// One way from a client to a server.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) command: String,
    /// Gigabits per second of each turn, ascending; or why there are none.
    pub(crate) speeds: Result<Vec<f64>, String>,
}

impl Way {
    pub(crate) fn median(&self) -> Result<f64, &str> {
        self.speeds.as_ref().map(|all| all[all.len() / 2]).map_err(String::as_str)
    }
}

/// The ways, in order.
const LOOPBACK: usize = 0;
const PUBLISHED: usize = 1;
const PUBLISHED_LOCALLY: usize = 2;
const EGRESS: usize = 3;
const PODMAN_PUBLISHED: usize = 4;
const PODMAN_EGRESS: usize = 5;
/// The runtimes that podman is tried with: one of them may not work with the host's cgroups.
const RUNTIMES: [&str; 2] = ["crun", "runc"];

/// Returns the goals: a published port and egress beside the host's loopback, and beside podman's bridge.
pub(crate) fn goals(ways: &[Way]) -> Vec<Goal> {
    let goal = |what: &str, of: usize, least: f64, than: usize, shown: &str| {
        let (measured, met) = match (ways[of].median(), ways[than].median()) {
            (Ok(one), Ok(other)) => {
                (format!("{:.2} ({one:.1} and {other:.1} Gb/s)", one / other), Some(one / other >= least))
            }
            (Err(reason), _) | (_, Err(reason)) => (reason.to_owned(), None),
        };
        Goal { what: what.into(), limit: format!("≥ {least} × {shown}"), measured, met }
    };
    vec![
        goal("published port, from outside", PUBLISHED, 0.7, LOOPBACK, "the host's loopback"),
        goal("published port, by 127.0.0.1", PUBLISHED_LOCALLY, 0.7, LOOPBACK, "the host's loopback"),
        goal("egress", EGRESS, 0.6, LOOPBACK, "the host's loopback"),
        goal("published port, from outside", PUBLISHED, 1.5, PODMAN_PUBLISHED, "podman's bridge"),
        goal("egress", EGRESS, 1.5, PODMAN_EGRESS, "podman's bridge"),
    ]
}

/// Measures all ways.
pub(crate) fn measure(work: &Work, amount: Amount) -> Result<Vec<Way>> {
    eprintln!("throughput");
    // In a thread of its own, whose network namespace its commands inherit.
    thread::scope(|scope| scope.spawn(|| in_own_network(work, amount)).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A server, which is ended on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn in_own_network(work: &Work, amount: Amount) -> Result<Vec<Way>> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace of its own needs root")?;
    work.shell(WORLD)?;
    let server = |words: &[&str]| -> Result<Server> {
        let mut command = work.command(words[0]);
        let child = command.args(&words[1..]).stdout(Stdio::null()).spawn();
        Ok(Server(child.with_context(|| format!("cannot start {}", words.join(" ")))?))
    };
    let _here = server(&["bench", "--sink", "9001"])?;
    let _outside = server(&["ip", "netns", "exec", "outside", "bench", "--sink", "9001"])?;
    let gantry = Gantry::new();
    let image = image(&gantry)?;
    let mut run = gantry.with_images("run", &[&image], &["-d", "--name", "sink", "-p", "8080:80"]);
    succeed(run.env("GANTRY_STAGE1", testing::stage1()))?;
    let podman = podman(work, &gantry);

    let installer = format!("installer --dir {}", gantry.dir().display());
    let bytes = amount.bytes;
    let pour = |to: &str| format!("bench --pour {to} {bytes}");
    let outside = |command: String| format!("ip netns exec outside {command}");
    let commands = [
        ("the host's loopback", pour("127.0.0.1:9001")),
        ("Gantry: a published port, from outside", outside(pour("192.0.2.1:8080"))),
        ("Gantry: a published port, by 127.0.0.1", pour("127.0.0.1:8080")),
        ("Gantry: egress", format!("{installer} enter sink -- /bench --pour 192.0.2.2:9001 {bytes}")),
        ("podman's bridge: a published port, from outside", outside(pour("192.0.2.1:8090"))),
        ("podman's bridge: egress", format!("podman exec sink /bench --pour 192.0.2.2:9001 {bytes}")),
        ("no pod: the host itself, from outside", outside(pour("192.0.2.1:9001"))),
    ];
    let ways = turns(work, commands, &podman, amount)?;
    work.shell("podman rm -af >/dev/null 2>&1 || :")?;
    succeed(gantry.installer().args(["stop", "sink"]))?;
    gantry.wait_all();
    Ok(ways)
}

/// Lets each way have its turns.
fn turns(
    work: &Work,
    commands: [(&'static str, String); 7],
    podman: &Result<()>,
    amount: Amount,
) -> Result<Vec<Way>> {
    let mut ways: Vec<_> =
        commands.into_iter().map(|(name, command)| Way { name, command, speeds: Ok(Vec::new()) }).collect();
    for (index, way) in ways.iter_mut().enumerate() {
        let is_podmans = index == PODMAN_PUBLISHED || index == PODMAN_EGRESS;
        let missing = podman.as_ref().err().filter(|_| is_podmans);
        match missing.map(|error| format!("{error:#}")) {
            Some(reason) => way.speeds = Err(reason),
            None => wait_until_it_answers(work, way)?,
        }
    }
    for round in 1..=amount.rounds {
        eprintln!("  round {round} of {}", amount.rounds);
        for way in &mut ways {
            let Ok(speeds) = &mut way.speeds else { continue };
            let seconds: f64 = work.shell(&way.command)?.parse().context("seconds")?;
            #[allow(clippy::cast_precision_loss, reason = "a measurement")]
            speeds.push(amount.bytes as f64 * 8e-9 / seconds);
        }
    }
    for way in &mut ways {
        if let Ok(speeds) = &mut way.speeds {
            speeds.sort_by(f64::total_cmp);
        }
        eprintln!(
            "  {}: {}",
            way.name,
            way.median().map_or_else(str::to_owned, |speed| format!("{speed:.1} Gb/s"))
        );
    }
    Ok(ways)
}

fn wait_until_it_answers(work: &Work, way: &Way) -> Result<()> {
    let begun = Instant::now();
    while let Some(reason) = work.failure(&way.command)? {
        if begun.elapsed() > PATIENCE {
            bail!("{}: {reason}", way.name);
        }
    }
    Ok(())
}

/// Writes an image that has this program.
fn image(gantry: &Gantry) -> Result<std::path::PathBuf> {
    let content = std::fs::read(program("bench")).context("read this program")?;
    let tree = Rootfs::busybox()?.with("bench", Node::File(0o755, content));
    let mut sink = manifest("sink", &["/bench", "--sink", "80"]);
    sink["app"]["user"] = json!("app");
    sink["app"]["group"] = json!("app");
    Ok(gantry.image("sink", &tree, &sink))
}

/// Starts a container of the same tree on podman's default bridge. An error says why that is not possible here.
fn podman(work: &Work, gantry: &Gantry) -> Result<()> {
    let image = gantry.beside("sink.aci");
    let import = format!(
        "mkdir -p sink; tar -C sink -xf {}; tar -C sink/rootfs -c . | podman import -q - sink >/dev/null",
        image.display()
    );
    let mut reason = work.failure(&import)?;
    for runtime in RUNTIMES {
        let start = format!(
            "podman rm -af >/dev/null 2>&1 || :
            podman --runtime {runtime} run -d --name sink --cgroup-parent {CGROUP} --network bridge -p 8090:80 sink \
            /bench --sink 80"
        );
        match work.failure(&start)? {
            None => return Ok(()),
            failed => reason = reason.or(failed),
        }
    }
    Err(anyhow!(reason.unwrap_or_default()))
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().context("cannot run the installer")?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
