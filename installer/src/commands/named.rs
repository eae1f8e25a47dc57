// SPDX-License-Identifier: Apache-2.0
//! The pods that a command line names, each by its UUID, the beginning of one, its name, or its directory.

use anyhow::{Result, anyhow};
use pods::{Description, Pod, Selector};
use store::DataDir;

use crate::context::Context;
use crate::exit::Exit;
use crate::ui::Ui;

/// Returns the error for a pod that another command has removed since it was found.
pub(super) fn removed(pod: &Pod) -> anyhow::Error {
    anyhow!("pod {} was removed meanwhile", pod.id())
}

/// Describes a pod.
///
/// # Errors If it was removed meanwhile: what was read of its directory may be wrong then.
pub(super) fn described(pod: &Pod) -> Result<Description> {
    let described = Description::with_addresses(pod)?;
    if pod.is_there() { Ok(described) } else { Err(removed(pod)) }
}

impl Context {
    /// Runs `task` on the pod that is called `name`, and on the data directory that the pod is in.
    pub(super) fn on_pod<T>(&self, name: &str, task: impl FnOnce(&DataDir, Pod) -> Result<T>) -> Result<T> {
        let selector = Selector::parse(name);
        let dir = selector.data_directory()?.map(|(dir, _)| dir);
        let Some(data_dir) = DataDir::find(dir.as_ref().unwrap_or(&self.dir), &self.interrupt, &Ui)? else {
            if dir.is_none() {
                self.check_dir()?;
            }
            return Err(pods::missing(&selector, &[], &[]));
        };
        pods::resolve(&data_dir, &selector).and_then(|id| match Pod::open(&data_dir, id)? {
            Some(pod) => task(&data_dir, pod),
            // It was removed in this moment.
            None => Err(pods::missing(&selector, &[], &[])),
        })
    }

    /// Runs `task` on each of these pods. A failure is reported, and the others follow.
    pub(super) fn on_each(
        &self,
        names: &[String],
        mut task: impl FnMut(&DataDir, Pod) -> Result<()>,
    ) -> Result<Exit> {
        let mut exit = Exit::Done;
        for name in names {
            if let Err(error) = self.on_pod(name, &mut task) {
                self.interrupt.check()?;
                Ui.error(&error);
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    }
}
