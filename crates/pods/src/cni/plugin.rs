// SPDX-License-Identifier: Apache-2.0
//! Plugins: programs of the host's that connect a pod, called with variables, JSON on stdin, and JSON on stdout (CNI
//! specification, section 2).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use pod::id::PodId;
use pod::text::escape;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use store::guarded;
use sys::content::in_memory;

use crate::process::Process;

/// The pod's link, in the pod: as in a network of Gantry's own.
const LINK: &str = "eth0";
/// How long a plugin may take. Some wait for a server of addresses.
const PATIENCE: Duration = Duration::from_secs(30);
/// The PATH of plugins, which execute programs of the host's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what a plugin says is read.
const SAID_MAX: u64 = 64 << 10;

/// A command to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// To connect the pod.
    Add,
    /// To take that back.
    Delete,
}

/// The arguments that all plugins of a list are called with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) command: Command,
    pub(crate) pod: PodId,
    /// A path to the pod's network namespace; empty if it is gone.
    pub(crate) namespace: &'a str,
    /// The directories of plugins, with colons between them.
    pub(crate) plugins: &'a OsStr,
}

/// Calls a plugin, and returns its result; null if it has none.
pub(crate) fn run(plugin: &str, request: &Value, call: &Call<'_>) -> Result<Value> {
    let path = program(plugin, call.plugins)?;
    let mut command = std::process::Command::new(&path);
    command.env_clear().current_dir("/").env("PATH", PATH);
    command.env("CNI_COMMAND", if call.command == Command::Add { "ADD" } else { "DEL" });
    command.env("CNI_CONTAINERID", call.pod.to_string()).env("CNI_NETNS", call.namespace);
    command.env("CNI_IFNAME", LINK).env("CNI_PATH", call.plugins);
    // Files, not pipes: so a plugin that doesn't read, or a process that it has left behind, keeps nothing waiting.
    let request = in_memory("request", request.to_string().as_bytes())?;
    let (said, complained) = (in_memory("said", b"")?, in_memory("complained", b"")?);
    command.stdin(request).stdout(said.try_clone()?).stderr(complained.try_clone()?).process_group(0);
    let about = || format!("plugin {}", path.display());
    let mut child = command.spawn().with_context(about)?;
    let waited = wait(&mut child);
    waited.and_then(|status| result(status, &read(said)?, &read(complained)?)).with_context(about)
}

/// Waits for a plugin's end. One that takes too long is killed, with what it has started.
fn wait(child: &mut Child) -> Result<ExitStatus> {
    let process = Process::of_family(child.id())?;
    let until = Instant::now() + PATIENCE;
    let mut has_ended = false;
    // A signal to this process ends a wait early.
    while !has_ended && Instant::now() < until {
        has_ended = process.ends_within(until.saturating_duration_since(Instant::now()))?;
    }
    if !has_ended {
        kill_process_group(Pid::from_child(child), Signal::KILL)?;
    }
    let status = child.wait()?;
    ensure!(has_ended, "it has not ended after {} s", PATIENCE.as_secs());
    Ok(status)
}

/// Returns what a plugin has said: its result, or an error.
fn result(status: ExitStatus, said: &[u8], complained: &[u8]) -> Result<Value> {
    let result = match serde_json::from_slice::<Value>(said) {
        Err(error) if status.success() && !said.trim_ascii().is_empty() => {
            return Err(error).context("its result");
        }
        read => read.unwrap_or_default(),
    };
    if status.success() {
        return Ok(result);
    }
    // An error has `code`, `msg` and maybe `details`.
    let texts: Vec<_> = ["msg", "details"].into_iter().filter_map(|field| result[field].as_str()).collect();
    let why = match texts.concat().is_empty() {
        false => texts.join("; "),
        true => String::from_utf8_lossy(complained).trim().to_owned(),
    };
    Err(anyhow!("{}", if why.is_empty() { status.to_string() } else { escape(&why) }))
}

/// Reads what was written to a file in memory.
fn read(mut file: File) -> Result<Vec<u8>> {
    file.rewind()?;
    let mut text = Vec::new();
    file.take(SAID_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// Finds a plugin's program, which only root may be able to change.
pub(crate) fn program(plugin: &str, directories: &OsStr) -> Result<PathBuf> {
    let all = directories.as_bytes().split(|byte| *byte == b':').filter(|directory| !directory.is_empty());
    for directory in all {
        let path = Path::new(OsStr::from_bytes(directory)).join(plugin);
        match guarded::open(&path) {
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error).with_context(|| format!("plugin {}", path.display())),
            Ok(file) => {
                sys::guarded::check(&file).with_context(|| format!("plugin {}", path.display()))?;
                return Ok(path);
            }
        }
    }
    let directories = directories.to_string_lossy();
    bail!("no plugin {}: expected one in {}", escape(plugin), escape(&directories))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    /// Calls a plugin that is a script.
    fn called(script: &str) -> Result<Value> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugin");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let pod = "6733c088-a507-4694-aabf-ae0bc1ccaaff".parse().unwrap();
        let call = Call {
            command: Command::Add,
            pod,
            namespace: "/proc/1/fd/3",
            plugins: directory.path().as_os_str(),
        };
        run("plugin", &json!({"name": "web"}), &call)
    }

    #[test]
    fn a_plugin_has_variables_and_a_request_and_says_a_result() {
        let script = "#!/bin/sh\nread request\n\
                      echo \"{\\\"request\\\": $request, \\\"of\\\": \\\"$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME\\\"}\"\n";
        let expected = json!({
            "request": {"name": "web"},
            "of": "ADD 6733c088-a507-4694-aabf-ae0bc1ccaaff /proc/1/fd/3 eth0",
        });
        assert_eq!(called(script).unwrap(), expected);
        assert_eq!(called("#!/bin/sh\n").unwrap(), Value::Null);
    }

    /// Some plugins start a server, which has all descriptors of the plugin.
    #[test]
    fn what_a_plugin_leaves_running_is_not_waited_for() {
        let script = "#!/bin/sh\nsleep 1000 &\necho \"{\\\"left\\\": $!}\"\n";
        let left = called(script).unwrap()["left"].as_i64().unwrap();
        let left = Pid::from_raw(i32::try_from(left).unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn an_error_is_one_line() {
        let error = |script: &str| format!("{:#}", called(script).unwrap_err());
        let said = error(
            "#!/bin/sh\nprintf '%s' '{\"code\": 7, \"msg\": \"no addresses\", \"details\": \"of\\n10\"}'; exit 1\n",
        );
        assert!(said.contains("no addresses; of\\n10"), "{said}");
        assert_eq!(said.lines().count(), 1);
        assert!(error("#!/bin/sh\necho broken >&2; exit 1\n").contains("broken"));
        assert!(error("#!/bin/sh\nexit 3\n").contains("exit status: 3"));
        assert!(error("#!/bin/sh\necho no JSON\n").contains("its result: "));
    }

    #[test]
    fn a_plugin_that_others_can_write_to_is_not_executed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugin");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).unwrap();
        assert!(program("plugin", directory.path().as_os_str()).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        program("plugin", directory.path().as_os_str()).unwrap();
        let error = program("other", directory.path().as_os_str()).unwrap_err().to_string();
        assert!(error.starts_with("no plugin \"other\""), "{error}");
    }
}
