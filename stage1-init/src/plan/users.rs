// SPDX-License-Identifier: Apache-2.0
//! Whose users the apps' users are: an app's own, the pod's, or the host's.

use pod::isolators::CapabilitySet;
use pod::manifest::Users;
use pod::{App, Pod};

use super::rights;
use crate::load::ids::Ids;

/// The capabilities that are of no use to an app with users of its own, because they count where the pod's namespaces
/// belong to (capabilities(7), user_namespaces(7)): `CAP_NET_ADMIN` (12), `CAP_IPC_OWNER` (15), `CAP_SYS_PTRACE` (19),
/// `CAP_SYS_ADMIN` (21) and `CAP_SYS_BOOT` (22).
const OF_THE_POD: u64 = 1 << 12 | 1 << 15 | 1 << 19 | 1 << 21 | 1 << 22;

/// Returns the first id of each app's own users, as the pod has it; `None` for an app that has the pod's.
///
/// An app that retains a capability which only the pod's users can have is one of those, with a warning.
pub(super) fn own(pod: &Pod, warnings: &mut Vec<String>) -> Vec<Option<u32>> {
    let mut own = Vec::new();
    for (index, app) in pod.apps.iter().enumerate() {
        let only = needs_pods(app);
        if app.users == Users::Own && !only.is_empty() {
            warnings.push(format!(
                "app {} has {only}, which only the pod's own users can have: root in it is root of the pod, and nobody \
                 on the host",
                app.name
            ));
        }
        own.push((app.users == Users::Own && only.is_empty()).then(|| Ids::of_app(index)));
    }
    own
}

fn needs_pods(app: &App) -> CapabilitySet {
    let others = CapabilitySet::from_bits(u64::MAX).without(CapabilitySet::from_bits(OF_THE_POD));
    rights::capabilities(app).without(others)
}
