// SPDX-License-Identifier: Apache-2.0
//! The record of a pod's connection, in the pod directory ([`layout::CNI`]): what its plugins need to take it back.
//!
//! Two lines of JSON. The first is written before a plugin is called: the configuration as it was then, the directories
//! of plugins, and the published ports. The second is the plugins' result; without it they were interrupted, and are
//! asked to take back what they may have done. The file goes once they have. It is locked by the process that works on
//! it, which is the pod's attendant for as long as the pod runs.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, ensure};
use pod::layout;
use report::Hint as _;
use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use serde_json::{Value, json};
use sys::{Interrupt, locks};

use crate::cni::config::Configuration;
use crate::cni::plugin::{Call, Command};
use crate::directory::Pod;
use crate::state::look;

/// More than a configuration and a result have.
const LENGTH_MAX: u64 = 1 << 20;

/// A record, locked.
#[derive(Debug)]
pub(crate) struct Record {
    file: File,
    configuration: Configuration,
    /// The directories of plugins.
    plugins: OsString,
    ports: Value,
    result: Value,
}

impl Record {
    /// Writes down that a pod is about to be connected.
    pub(crate) fn begin(
        pod: &Pod,
        configuration: &Configuration,
        plugins: &OsStr,
        ports: &Value,
    ) -> Result<Self> {
        let line = json!({
            "network": configuration.to_json(),
            "plugins": plugins.to_string_lossy(),
            "ports": ports,
        });
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW;
        let write = || -> Result<File> {
            let mode = Mode::RUSR | Mode::WUSR;
            let file = File::from(openat(&pod.directory, layout::NEW_CNI, flags | OFlags::CLOEXEC, mode)?);
            ensure!(locks::try_lock_alone(&file)?, "another process has it locked");
            (&file).write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()?;
            renameat(&pod.directory, layout::NEW_CNI, &pod.directory, layout::CNI)?;
            fsync(&pod.directory)?;
            Ok(file)
        };
        let file = write().context("cannot write down how it is connected")?;
        let (configuration, plugins, ports) = (configuration.clone(), plugins.to_owned(), ports.clone());
        Ok(Self { file, configuration, plugins, ports, result: Value::Null })
    }

    /// Adds the plugins' result.
    pub(crate) fn connected(&mut self, result: &Value) -> Result<()> {
        self.result = result.clone();
        let written = (&self.file).write_all(format!("{result}\n").as_bytes());
        written.and_then(|()| self.file.sync_data()).context("cannot write down how it is connected")
    }

    /// Returns the plugins' result.
    pub(crate) fn result(&self) -> &Value {
        &self.result
    }

    /// Asks the plugins to take the connection back, and removes the record.
    pub(crate) fn disconnect(&self, pod: &Pod, namespace: &str) -> Result<()> {
        let Self { configuration, plugins, ports, result, .. } = self;
        let call = Call { command: Command::Delete, pod: pod.id(), namespace, plugins };
        configuration
            .delete(&call, ports, result)
            .with_context(|| format!("CNI network {}", configuration.name))?;
        unlinkat(&pod.directory, layout::CNI, AtFlags::empty()).context("cannot remove the record of it")
    }

    /// Opens the record of a pod, and waits for a process that works on it; `None` if there is none by then.
    fn open(pod: &Pod, interrupt: &Interrupt) -> Result<Option<Self>> {
        loop {
            let Some(file) = pod.open_file(layout::CNI, OFlags::RDWR)? else { return Ok(None) };
            locks::alone(&file, interrupt).context("cannot lock it")?;
            if !is_current(pod, &file)? {
                continue;
            }
            return Self::read(file.into()).map(Some);
        }
    }

    /// Reads a record. The caller has its lock.
    fn read(file: File) -> Result<Self> {
        let mut text = String::new();
        (&file).take(LENGTH_MAX).read_to_string(&mut text)?;
        Self::parse(file, &text)
    }

    fn parse(file: File, text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let mut first: Value = serde_json::from_str(lines.next().unwrap_or_default())?;
        let result = lines.next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let configuration = Configuration::parse(first["network"].take())?;
        let plugins = first["plugins"].as_str().context("expected directories of plugins")?.into();
        Ok(Self { file, configuration, plugins, ports: first["ports"].take(), result })
    }
}

/// Takes a pod's connection back, if it has one and the pod's network namespace is gone. Waits for the pod's attendant.
///
/// # Errors
/// If a plugin fails. The record stays then.
pub(crate) fn release(pod: &Pod, interrupt: &Interrupt) -> Result<()> {
    if !pod.has(layout::CNI)? {
        return Ok(());
    }
    let record = Record::open(pod, interrupt);
    taken_back(pod, record.and_then(|record| record.map_or(Ok(()), |record| record.disconnect(pod, ""))))
}

/// Does what [`release`] does, but leaves a record alone that another process works on, or whose pod runs by now: waiting
/// for its attendant could take as long as the pod runs.
///
/// # Errors
/// As [`release`].
pub(crate) fn release_left(pod: &Pod) -> Result<()> {
    let Some(file) = pod.open_file(layout::CNI, OFlags::RDWR)? else { return Ok(()) };
    // A pod that starts waits for this lock before it is connected.
    let is_left = locks::try_lock_alone(&file)? && is_current(pod, &file)? && !look(pod)?.state.is_alive();
    if !is_left {
        return Ok(());
    }
    taken_back(pod, Record::read(file.into()).and_then(|record| record.disconnect(pod, "")))
}

/// Tells whether a record is still the pod's: it may have been removed or replaced before it was locked.
fn is_current(pod: &Pod, file: &OwnedFd) -> Result<bool> {
    Ok(locks::is_called(&pod.directory, &CString::new(layout::CNI)?, file)?)
}

fn taken_back(pod: &Pod, done: Result<()>) -> Result<()> {
    let record = pod.path().join(layout::CNI);
    done.with_context(|| format!("cannot take pod {} from its network", pod.id())).hint(format!(
        "to give the network up, remove {}; what the plugins have made stays then",
        record.display()
    ))
}
