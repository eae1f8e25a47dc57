// SPDX-License-Identifier: Apache-2.0
//! The users of apps: each app's own, the pod's, or the host's.

use pod::Pod;
use pod::manifest::Users;

use crate::load::ids::Ids;

/// Returns the first id of each app's own users, as the pod has it; `None` for an app that has the pod's.
///
/// An app that retains a capability which only the pod's users can have is one of those, with a warning.
pub(super) fn own(pod: &Pod, warnings: &mut Vec<String>) -> Vec<Option<u32>> {
    let mut own = Vec::new();
    for (index, app) in pod.apps.iter().enumerate() {
        let only = app.needs_pods_users();
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
