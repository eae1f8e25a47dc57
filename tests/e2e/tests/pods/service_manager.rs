// SPDX-License-Identifier: Apache-2.0
//! Pods as units of a real systemd: they are ready when their apps are, take the sockets that systemd has for them, stop in
//! order, and their code is the unit's. The machine is the distribution's systemd, which runs in systemd-nspawn.

use std::fs;

use gate::root_test;
use serde_json::json;
use testing::image::{manifest, script, with_handler};
use testing::machine::Machine;
use testing::program;
use testing::rootfs::{Node, Rootfs};

/// Returns a unit that is a prepared pod.
fn unit(pod: &str) -> String {
    format!("[Service]\nType=notify\nExecStart=/usr/bin/installer --dir /var/gantry start --attach {pod}\n")
}

/// Prepares the pods that are units. In a directory of the machine's, they say what happens, or wait for it.
const PREPARE: &str = "mkdir -m 777 /srv /srv/shared
prepare() { installer --dir /var/gantry prepare --net host --name $1 -v /srv/shared:/shared /$1.aci >/dev/null 2>&1; }
until_there() { until [ -e /srv/shared/$1 ]; do sleep 0.1; done; }
";

#[root_test]
fn a_unit_is_ready_when_its_apps_are_and_ends_as_they_do() {
    let slow = "echo app >>/shared/log; env >/shared/env; trap 'echo stops >>/shared/log; exit 0' TERM; \
                while :; do sleep 1; done";
    let slow = with_handler(
        script("slow", slow),
        "pre-start",
        "touch /shared/begun; until [ -e /shared/go ]; do sleep 0.1; done",
    );
    let slow = with_handler(slow, "post-stop", "echo post >>/shared/log");
    let fails = script("fails", "until [ -e /shared/fail ]; do sleep 0.1; done; exit 7");
    let machine =
        Machine::new().unwrap().unit("slow.service", &unit("slow")).unit("fails.service", &unit("fails"));
    let machine = machine.image("slow", &Rootfs::busybox().unwrap(), &slow).unwrap();
    let machine = machine.image("fails", &Rootfs::busybox().unwrap(), &fails).unwrap();
    let said = machine.run(&format!(
        "{PREPARE}
        prepare slow; prepare fails
        systemctl start --no-block slow
        until_there begun
        echo before: $(systemctl is-active slow || true)
        touch /srv/shared/go
        systemctl start slow
        echo after: $(systemctl is-active slow), $(systemctl show -P StatusText slow)
        until_there log
        systemctl stop slow
        echo stopped: $(systemctl show -P Result slow) $(systemctl show -P ExecMainStatus slow)
        cat /srv/shared/log
        grep -c NOTIFY_SOCKET /srv/shared/env || true
        systemctl start fails
        touch /srv/shared/fail
        until systemctl -q is-failed fails; do sleep 0.1; done
        echo failed: $(systemctl show -P Result fails) $(systemctl show -P ExecMainStatus fails)
        installer --dir /var/gantry list --format json | grep -c '\"exited\"'
        ls /sys/fs/cgroup/system.slice | grep gantry || true"
    ));
    let expected = "before: activating\nafter: active, The apps are up\nstopped: success 0\n\
                    app\nstops\npost\n0\nfailed: exit-code 7\n2\n";
    assert_eq!(said.unwrap(), expected);
}

/// As the specification has it (`appc.io/executor/supports-systemd-notify`): the unit is ready when all are that say so.
#[root_test]
fn a_unit_is_ready_when_its_apps_say_so() {
    let tree = Rootfs::busybox().unwrap();
    let tree = tree.with("notifies", Node::File(0o755, fs::read(program("notifies")).unwrap()));
    let asks = |name: &str| {
        let mut image = manifest(name, &["/notifies", "/shared/go"]);
        image["annotations"] = json!([{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]);
        with_handler(image, "pre-start", "env | grep -c NOTIFY_SOCKET >>/shared/handler; touch /shared/begun")
    };
    let mut ends = asks("ends");
    ends["app"]["exec"] =
        json!(["/bin/sh", "-c", "test -S $NOTIFY_SOCKET && echo $NOTIFY_SOCKET >/shared/seen; exit 0"]);
    let machine =
        Machine::new().unwrap().unit("asks.service", &unit("asks")).unit("ends.service", &unit("ends"));
    let machine = machine.image("asks", &tree, &asks("asks")).unwrap().image("ends", &tree, &ends).unwrap();
    let said = machine.run(&format!(
        "{PREPARE}
        prepare asks; prepare ends
        systemctl start --no-block asks
        until_there begun
        until installer --dir /var/gantry top asks | grep -q notifies; do sleep 0.1; done
        echo before: $(systemctl is-active asks || true)
        touch /srv/shared/go
        systemctl start asks
        echo after: $(systemctl is-active asks), $(systemctl show -P StatusText asks)
        systemctl stop asks
        echo stopped: $(systemctl show -P Result asks)
        cat /srv/shared/handler
        rm -f /srv/shared/handler
        systemctl start ends || true
        cat /srv/shared/seen
        cat /var/gantry/containers/*/stage1/rkt/status/ends"
    ));
    let expected =
        "before: activating\nafter: active, The apps are up\nstopped: success\n0\n/dev/notify\n0\n";
    assert_eq!(said.unwrap(), expected);
}

#[root_test]
fn no_connection_is_lost_while_a_unit_with_a_socket_starts_again() {
    let rootfs = Rootfs::default()
        .with("socket-echo", Node::File(0o755, fs::read(program("socket-echo")).unwrap()))
        .with("shared", Node::Directory(0o755));
    let mut web = manifest("web", &["/socket-echo", "tcp"]);
    web["app"]["ports"] = json!([{"name": "http", "protocol": "tcp", "port": 8080, "socketActivated": true}]);
    let socket = "[Socket]\nListenStream=8080\n";
    let named = "[Socket]\nListenStream=127.0.0.1:9090\nFileDescriptorName=http\nService=web.service\n";
    for (socket, port) in [(socket, 8080), (named, 9090)] {
        let machine = Machine::new().unwrap().unit("web.service", &unit("web")).unit("web.socket", socket);
        let machine = machine.image("web", &rootfs, &web).unwrap();
        let said = machine.run(&format!(
            "{PREPARE}
            prepare web
            systemctl start web.socket
            echo $(systemctl is-active web.service || true)
            ask() {{ while [ -e /asks ]; do nc 127.0.0.1 {port} </dev/null >>/answers || echo refused >>/answers; done; }}
            touch /asks
            ask &
            until [ -s /answers ]; do sleep 0.1; done
            for i in 1 2 3; do
                systemctl restart web.service
                nc 127.0.0.1 {port} </dev/null
            done
            rm /asks
            wait
            echo others: $(grep -vc '^web http$' /answers || true)
            systemctl stop web.socket web.service
            echo stopped: $(systemctl show -P Result web.service)"
        ));
        let expected = "inactive\nweb http\nweb http\nweb http\nothers: 0\nstopped: success\n";
        assert_eq!(said.unwrap(), expected);
    }
}

#[root_test]
fn what_apps_in_the_background_write_is_in_the_journal() {
    let write = "echo out; echo err >&2; i=0; while [ $i -lt 3000 ]; do printf 0123456789012345678901234567890123456789\
                 01234567890123456789012345678901234567890123456789012345678; i=$((i+1)); done; echo; printf end";
    let writes = script("writes", write);
    let machine = Machine::new().unwrap().image("writes", &Rootfs::busybox().unwrap(), &writes).unwrap();
    let said = machine.run(
        "run() { installer --dir /var/gantry run -d --net host --log-driver journald --name $1 /writes.aci 2>&1; }
        run one >/id
        installer --dir /var/gantry wait one
        shows() { journalctl -q -a -o cat GANTRY_POD=$(cat /id) $1; }
        until shows | grep -q '^end$'; do sleep 0.1; done
        shows PRIORITY=3
        shows GANTRY_STREAM=stdout | busybox awk '{ print length }'
        journalctl -q -o short SYSLOG_IDENTIFIER=writes PRIORITY=3 | sed 's/.* writes/writes/; s/[[].*]/[]/'
        journalctl -q -o export GANTRY_APP=writes | grep -c CONTAINER_PARTIAL
        ls /var/gantry/containers/*/logs
        installer --dir /var/gantry logs one
        mv /run/systemd/journal/socket /run/moved
        run two | sed 's/pod [0-9a-f-]*/pod/'
        mv /run/moved /run/systemd/journal/socket",
    );
    let line = 3000 * 99;
    let expected = format!(
        "0\nerr\n3\n{}\n{}\n3\nwrites[]: err\n1\nLOST\nerror: cannot log what pod writes: cannot reach the journal at \
         /run/systemd/journal/socket: No such file or directory (os error 2): expected systemd-journald to run\n",
        256 << 10,
        line - (256 << 10),
    );
    assert_eq!(said.unwrap(), expected);
}

/// No app gets SIGPIPE, and no line is lost; one may be there twice.
#[root_test]
fn the_journal_has_what_apps_write_while_their_log_writer_is_killed() {
    let write = "i=0; until [ -e /shared/go ]; do sleep 0.1; done; \
                 until [ -e /shared/end ] && [ $i -ge 200 ]; do seq $((i * 20 + 1)) $((i * 20 + 20)) || exit 9; printf \"part of $i\"; sleep 0.01; \
                 echo; i=$((i+1)); done; echo $i > /shared/count";
    let writes = script("writes", write);
    let machine = Machine::new().unwrap().image("writes", &Rootfs::busybox().unwrap(), &writes).unwrap();
    let said = machine.run(
        "mkdir -m 777 /srv /srv/shared
        installer --dir /var/gantry run -d --net host --log-driver journald --name one -v /srv/shared:/shared /writes.aci >/id 2>&1
        touch /srv/shared/go
        of() { for p in /proc/[0-9]*; do read -r comm <$p/comm && [ $comm = $1 ] && readlink $p/exe >/dev/null && echo ${p#/proc/}; done 2>/dev/null; true; }
        both() { until [ -n \"$(of gantry-log)\" ] && [ -n \"$(of gantry-keeper)\" ]; do :; done; }
        for name in gantry-log gantry-keeper gantry-log gantry-keeper gantry-log; do
            both
            before=$(of $name)
            kill -9 $before
            while [ \"$(of $name)\" = \"$before\" ]; do :; done
        done
        both
        touch /srv/shared/end
        installer --dir /var/gantry wait one
        shows() { journalctl -q -a -o cat GANTRY_POD=$(cat /id) GANTRY_STREAM=stdout; }
        count=$(cat /srv/shared/count)
        until shows | grep -q \"^part of $((count - 1))$\"; do sleep 0.1; done
        echo $(($(shows | grep -x '[0-9]*' | sort -nu | wc -l) - count * 20))
        echo $(($(shows | grep -x 'part of [0-9]*' | sort -u | wc -l) - count))
        installer --dir /var/gantry logs one",
    );
    assert_eq!(said.unwrap(), "0\n0\n0\n");
}
