// SPDX-License-Identifier: Apache-2.0
//! Networks that the host configures: lists of plugins that connect a pod, as CNI (the Container Network Interface,
//! specification 1.0) defines them.
//!
//! The host's administrator writes configuration lists, and installs the plugins. Both are executed as root on the host, so
//! only root may be able to change them. A pod is added to a network once its network namespace is there, before its
//! apps start, and deleted from it at its end. What is needed for that is written down in the pod directory
//! beforehand (`record`), so that a pod whose processes were all killed is deleted by the next `gc`.

mod config;
mod names;
mod places;
mod plugin;
mod record;

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result, ensure};
use pod::network::CniName;
use serde_json::{Value, json};
use sys::Interrupt;

pub use places::Places;
pub(crate) use record::{release, release_left};

use crate::cni::config::{Configuration, PORT_MAPPINGS};
use crate::cni::plugin::{Call, Command};
use crate::cni::record::Record;
use crate::contents::Contents;
use crate::directory::Pod;

/// Checks that the host has a network of this name, which publishes ports if that is asked for.
///
/// # Errors
/// If it has none, or if others than root can change it.
pub fn check(places: &Places, name: &CniName, publishes: bool) -> Result<()> {
    let configuration = Configuration::find(places, name)?;
    if publishes { can_publish(&configuration) } else { Ok(()) }
}

fn can_publish(configuration: &Configuration) -> Result<()> {
    ensure!(
        configuration.has_capability(PORT_MAPPINGS),
        "CNI network {} publishes no ports: expected a plugin in it that is capable of {PORT_MAPPINGS}",
        configuration.name
    );
    Ok(())
}

/// A pod that plugins have connected, until this is dropped: no other process deletes it from the network meanwhile.
#[derive(Debug)]
pub struct Connected(Record);

/// Adds a pod to a network. If that fails, the pod is deleted from it again.
///
/// # Errors
/// If a plugin fails.
pub fn connect(
    places: &Places,
    name: &CniName,
    pod: &Pod,
    namespace: BorrowedFd<'_>,
    interrupt: &Interrupt,
) -> Result<Connected> {
    // A start of the pod that was killed may have left it connected.
    release(pod, interrupt)?;
    let configuration = Configuration::find(places, name)?;
    let ports = published(&pod.contents()?, &configuration)?;
    let mut record = Record::begin(pod, &configuration, &places.plugins, &ports)?;
    let namespace = path_of(namespace);
    let call = Call { command: Command::Add, pod: pod.id(), namespace: &namespace, plugins: &places.plugins };
    match configuration.add(&call, &ports).and_then(|result| record.connected(&result)) {
        Ok(()) => Ok(Connected(record)),
        Err(error) => {
            // The first error is returned. If this fails too, gc tries again.
            let _ = record.disconnect(pod, &namespace);
            Err(error)
        }
    }
    .with_context(|| format!("CNI network {name}"))
}

impl Connected {
    /// Writes what the plugins say about names into the pod's resolv.conf, if they say anything.
    ///
    /// # Errors
    /// If they say what no resolv.conf may have, or it can't be written.
    pub fn write_names(&self, pod: &Pod) -> Result<()> {
        names::write(pod, &self.0.result()["dns"]).context("names that the plugins give")
    }

    /// Deletes the pod from its network. The namespace may have nothing in it any more.
    ///
    /// # Errors
    /// If a plugin fails; `gc` tries again.
    pub fn disconnect(self, pod: &Pod, namespace: BorrowedFd<'_>) -> Result<()> {
        self.0.disconnect(pod, &path_of(namespace))
    }
}

/// Returns the path of an open namespace, for other processes.
fn path_of(namespace: BorrowedFd<'_>) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}

/// Returns the pod's ports as plugins take them; null if there are none.
fn published(contents: &Contents, configuration: &Configuration) -> Result<Value> {
    let mut all = Vec::new();
    for port in &contents.ports {
        let in_pod = port.pod_port.as_ref();
        let in_pod =
            in_pod.with_context(|| format!("port {}: expected a podPort, for plugins", port.name))?;
        for (index, number) in in_pod.numbers().enumerate() {
            let host = u16::try_from(usize::from(port.host_port) + index);
            let host = host.with_context(|| format!("port {}: its last one is above 65535", port.name))?;
            let mut mapping = json!({
                "hostPort": host,
                "containerPort": number,
                "protocol": in_pod.protocol.to_string(),
            });
            if let Some(address) = port.host_ip {
                mapping["hostIP"] = address.to_string().into();
            }
            all.push(mapping);
        }
    }
    if all.is_empty() {
        return Ok(Value::Null);
    }
    can_publish(configuration)?;
    Ok(all.into())
}
