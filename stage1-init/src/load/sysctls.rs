// SPDX-License-Identifier: Apache-2.0
//! The sysctls that a pod asks for: they are set in the pod's own namespaces, from outside, before its apps start.
//!
//! A file below /proc/sys is of the namespaces that the thread is in which opens it. So the names, which are checked when a
//! manifest is read, decide only which of the pod's sysctls is meant. Invariant: nothing is opened in a namespace of the
//! host's, not even if the pod passes one on.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use pod::Pod;
use pod::isolators::Sysctl;
use rustix::fs::{CWD, Mode, OFlags, Uid, openat};
use rustix::thread::set_thread_res_uid;
use sys::namespaces::{in_ipc, in_network, is_own};
use sys::open_beneath;

use crate::exchange::ready::Namespaces;

/// A pod's sysctls, and where all are.
#[derive(Debug)]
pub(crate) struct Sysctls {
    /// /proc/sys of the mount namespace that `/init` began in.
    directory: OwnedFd,
    all: Vec<Sysctl>,
    /// The host's user that is root in the pod.
    root: u32,
}

impl Sysctls {
    /// Finds a pod's, whose root is the host's user `root`; `None` if it asks for none.
    pub(crate) fn of(pod: &Pod, root: u32) -> Result<Option<Self>> {
        if pod.sysctls.is_empty() {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, "/proc/sys", flags, Mode::empty()).context("cannot open /proc/sys")?;
        Ok(Some(Self { directory, all: pod.sysctls.clone(), root }))
    }

    /// Sets all of them.
    pub(crate) fn set(&self, namespaces: &Namespaces) -> Result<()> {
        for sysctl in &self.all {
            let set = || self.set_one(sysctl);
            let (kind, namespace) =
                if sysctl.is_networks() { ("net", &namespaces.network) } else { ("ipc", &namespaces.ipc) };
            ensure!(
                !is_own(namespace, kind)?,
                "sysctl {sysctl}: the pod has the host's namespace: expected its own"
            );
            let done = if sysctl.is_networks() { in_network(namespace, set) } else { in_ipc(namespace, set) };
            let done = done.with_context(|| format!("cannot enter the pod's {kind} namespace"))?;
            done.with_context(|| format!("cannot set the sysctl {sysctl} of the pod to {}", sysctl.value()))?;
        }
        Ok(())
    }

    /// From Linux 5.19 on, those of IPC can be written by the owner of the namespace alone: the pod's root.
    fn set_one(&self, sysctl: &Sysctl) -> Result<()> {
        match self.write(sysctl) {
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) && self.root != 0 => {
                set_thread_res_uid(None, Uid::from_raw(self.root), None)
                    .context("cannot become the pod's root")?;
                let written = self.write(sysctl);
                // Effective capabilities come back with it (capabilities(7)).
                set_thread_res_uid(None, Uid::ROOT, None).context("cannot become root again")?;
                Ok(written?)
            }
            written => Ok(written?),
        }
    }

    fn write(&self, sysctl: &Sysctl) -> io::Result<()> {
        let opened = open_beneath(self.directory.as_fd(), sysctl.path(), OFlags::WRONLY);
        File::from(opened?).write_all(sysctl.value().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod that could pass on the host's namespaces would set the host's sysctls.
    #[test]
    fn nothing_is_set_in_a_namespace_of_the_hosts() {
        let own = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).unwrap().into();
        let namespaces = Namespaces { network: own("net"), ipc: own("ipc") };
        for (name, value) in [("net.core.somaxconn", "4096"), ("kernel.shmmni", "4096")] {
            let isolators = serde_json::json!([{"name": "os/unix/sysctl", "value": {name: value}}]);
            let isolators: pod::isolators::Isolators = serde_json::from_value(isolators).unwrap();
            let directory = openat(CWD, "/proc/sys", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let sysctls = Sysctls { directory, all: isolators.sysctls, root: 0 };
            let error = format!("{:#}", sysctls.set(&namespaces).unwrap_err());
            assert!(error.contains(name) && error.contains("the pod has the host's namespace"), "{error}");
        }
    }
}
