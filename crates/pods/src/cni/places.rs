// SPDX-License-Identifier: Apache-2.0
//! Where a host has its networks and plugins.

use std::ffi::OsString;
use std::path::PathBuf;

/// The usual directories of network configurations and of plugins.
const CONFIGURATIONS: &str = "/etc/cni/net.d";
const PLUGINS: &str = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";
/// Variables that say otherwise. The second is CNI's own.
pub(crate) const CONFIGURATIONS_VARIABLE: &str = "GANTRY_CNI_NETWORKS";
const PLUGINS_VARIABLE: &str = "CNI_PATH";

/// The directories of the host's network configurations and plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The directory of configurations.
    pub networks: PathBuf,
    /// The directories of plugins, with colons between them.
    pub plugins: OsString,
}

impl Places {
    /// The variables of the environment that say where they are.
    pub const VARIABLES: [&str; 2] = [CONFIGURATIONS_VARIABLE, PLUGINS_VARIABLE];

    /// Returns the usual places, or those that the environment says.
    pub fn of_environment() -> Self {
        let said = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            networks: said(CONFIGURATIONS_VARIABLE).map_or_else(|| CONFIGURATIONS.into(), PathBuf::from),
            plugins: said(PLUGINS_VARIABLE).unwrap_or_else(|| PLUGINS.into()),
        }
    }
}
