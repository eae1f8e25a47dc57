// SPDX-License-Identifier: Apache-2.0
//! What an app could do to the metadata service: keep it busy, and look into its process.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::expect::{Expectations, Form};
use crate::metadata::get_id;
use crate::report::{Report, compare};

/// How long an answer to something unusual may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A user of the pod's that no app has: the service's.
const OF_SERVICE: u32 = 65_533;

/// Checks that the service does what it does for others, whatever this app does, and hides what it is.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("metadata_crowd", &expected.metadata_crowd, |count| compare(crowd(*count), &()));
    report.check("metadata_nonsense", &expected.metadata_nonsense, |statuses| compare(nonsense(), statuses));
    report.check("metadata_process", &expected.metadata_process, |name| compare(hidden(name), &Vec::new()));
}

/// Keeps many connections: some say nothing, some half of a request, some never take their answer. One that asks as it
/// should has its answer in time.
fn crowd(count: usize) -> Result<()> {
    let (address, path) = address()?;
    let whole = format!("GET {path}/acMetadata/v1/pod/manifest HTTP/1.1\r\n\r\n");
    let parts = ["", "GET ", &whole[..whole.len() - 2], &whole];
    let mut kept = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("cannot connect")?;
        stream.write_all(parts[number % parts.len()].as_bytes()).context("cannot send")?;
        kept.push(stream);
        if number % 50 == 0 {
            get_id(Form::Own).with_context(|| format!("beside {number} others"))?;
        }
    }
    for stream in &mut kept {
        // The service may have closed it.
        let _ = stream.write_all(b"X");
        get_id(Form::Own).context("beside those that go on")?;
    }
    Ok(())
}

/// Sends what is no good request, and returns the statuses.
fn nonsense() -> Result<Vec<u16>> {
    let (address, path) = address()?;
    let head = |more: &str| format!("POST {path}/acMetadata/v1/pod/hmac/sign HTTP/1.1\r\n{more}\r\n\r\n");
    let long = format!("A: {}", "x".repeat(100_000));
    let all = [
        head(&long),
        head("Content-Length: 100000000"),
        head("Content-Length: 1\r\nContent-Length: 2"),
        head("Transfer-Encoding: chunked"),
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
    ];
    let status = |request: &String| -> Result<u16> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The answer may come before all is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).context("no answer")?;
        String::from_utf8_lossy(&answer[9..]).parse().context("no status")
    };
    let statuses = all.iter().map(status).collect::<Result<Vec<_>>>()?;
    get_id(Form::Own).context("afterwards")?;
    Ok(statuses)
}

/// Returns what of a process this one, or another of the service's user, can look at, signal or take.
fn hidden(name: &str) -> Result<Vec<String>> {
    get_id(Form::Own)?;
    let mut open = look_into(name)?;
    // Root of the pod may become any of its users; an app's own root has others.
    let as_service = Command::new("/proc/self/exe").args(["--look-into", name]).uid(OF_SERVICE).output();
    let output = as_service.context("cannot become another user")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    open.extend(said.lines().map(|line| format!("as {OF_SERVICE}: {line}")));
    Ok(open)
}

/// Prints what of a process can be looked at, a line each.
pub(crate) fn print(name: &str) -> Result<ExitCode> {
    let all = look_into(name)?;
    std::io::stdout().write_all(all.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn look_into(name: &str) -> Result<Vec<String>> {
    let id = find(name)?;
    let at = |what: &str| format!("/proc/{id}/{what}");
    let mut open = Vec::new();
    let mut note = |what: &str, could: bool| open.extend(could.then(|| what.to_owned()));
    note("memory", File::open(at("mem")).is_ok());
    note("environment", fs::read(at("environ")).is_ok());
    note("root", fs::read_dir(at("root/")).is_ok());
    // Their numbers may be seen, which say nothing.
    let descriptors = fs::read_dir(at("fd")).into_iter().flatten().flatten();
    note("descriptors", descriptors.map(|one| fs::read_link(one.path())).any(|link| link.is_ok()));
    note("maps", fs::read(at("maps")).is_ok_and(|maps| !maps.is_empty()));
    let process = Pid::from_raw(id);
    if id != std::process::id().cast_signed() {
        let traced = ptrace::attach(process).is_ok();
        note("trace", traced);
        if traced {
            let _ = waitpid(process, None);
            let _ = ptrace::detach(process, None);
        }
    }
    Ok(open)
}

fn find(name: &str) -> Result<i32> {
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
        match fs::read_to_string(entry.path().join("comm")) {
            Ok(comm) if comm.trim_end() == name => return Ok(id),
            Err(error) if error.kind() != ErrorKind::NotFound => {}
            _ => {}
        }
    }
    anyhow::bail!("there is no process {name}")
}

fn address() -> Result<(SocketAddr, String)> {
    let url = env::var("AC_METADATA_URL").context("cannot use AC_METADATA_URL")?;
    let rest = url.strip_prefix("http://").context("it is no URL of HTTP")?;
    let (host, token) = rest.split_once('/').context("it has no token")?;
    Ok((host.parse()?, format!("/{token}")))
}
