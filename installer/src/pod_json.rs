// SPDX-License-Identifier: Apache-2.0
//! Pods as JSON for programs; `docs/formats/pods.md` describes it.

use pod::manifest::{PodPort, Port};
use pods::{App, Description, End, Ending, Moment, Run};
use serde_json::{Value, json};

/// Describes a pod as an object.
pub(crate) fn object(pod: &Description) -> Value {
    let last = pod.last();
    json!({
        "id": pod.id.to_string(),
        "name": pod.name.as_ref().map(|name| name.as_str()),
        "state": pod.state.name(),
        "directory": pod.path.to_string_lossy(),
        "process": pod.process,
        "created": time(pod.created),
        "started": time(last.and_then(|run| run.started)),
        "ended": time(pod.ended()),
        "code": last.and_then(Run::code),
        "apps": pod.apps.iter().map(app).collect::<Vec<_>>(),
        "network": pod.mode.as_ref().map(ToString::to_string),
        "addresses": pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ports": pod.ports.iter().map(port).collect::<Vec<_>>(),
        "runs": pod.runs.iter().map(run).collect::<Vec<_>>(),
        "problem": pod.problem,
    })
}

fn app(app: &App) -> Value {
    json!({
        "name": app.name.in_manifest(),
        "image": app.image.to_string(),
        "code": app.status.map(|status| status.code),
        "ended": time(app.status.map(|status| status.ended)),
    })
}

/// Describes a port of the pod's on the host. What an app's port of this name says is not known here.
fn port(port: &PodPort) -> Value {
    let in_pod = port.pod_port.as_ref();
    json!({
        "name": port.name.to_string(),
        "address": port.host_ip.map(|address| address.to_string()),
        "host": port.host_port,
        "pod": in_pod.and_then(|port| port.numbers().next()),
        "count": in_pod.map(Port::count),
        "protocol": in_pod.map(|port| port.protocol.to_string()),
    })
}

fn run(run: &Run) -> Value {
    let failure = match run.ending() {
        Some(Ending::Failure(step)) => Some(step),
        _ => None,
    };
    let found = match run.end {
        Some(End::Found(when)) => Some(when),
        _ => None,
    };
    json!({
        "started": time(run.started),
        "ended": time(run.ended()),
        "code": run.code(),
        "failure": failure,
        "killed": run.ending() == Some(Ending::Killed),
        "foundEnded": time(found),
    })
}

/// Returns seconds since 1970, with milliseconds.
fn time(moment: Option<Moment>) -> Value {
    // The text has a decimal point and digits alone, so it is a number.
    moment.and_then(|moment| moment.to_string().parse::<f64>().ok()).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use pod::network::Mode;
    use pods::State;

    use super::*;

    #[test]
    fn an_object_has_the_documented_members() {
        let at = Moment::from_milliseconds;
        let image = "sha256-".to_owned() + &"0123456789abcdef".repeat(4);
        let pod = Description {
            id: "6733c088-a507-4694-aabf-ae0bc1ccaaff".parse().unwrap(),
            name: Some("web".parse().unwrap()),
            path: "/d/containers/6733c088-a507-4694-aabf-ae0bc1ccaaff".into(),
            state: State::Exited,
            process: None,
            created: Some(at(1000)),
            apps: vec![App { name: "web".parse().unwrap(), image: image.parse().unwrap(), status: None }],
            mode: Some(Mode::Private),
            addresses: vec!["10.177.0.9".parse().unwrap(), "fd67::9".parse().unwrap()],
            ports: serde_json::from_value(json!([
                {"name": "publish-1", "hostPort": 8080, "hostIP": "127.0.0.1",
                 "podPort": {"name": "publish-1", "protocol": "udp", "port": 53, "count": 2}},
                {"name": "web", "hostPort": 80},
            ]))
            .unwrap(),
            runs: vec![
                Run { started: Some(at(2500)), end: Some(End::Found(at(3000))) },
                Run { started: Some(at(4001)), end: Some(End::At(at(5999), Ending::Code(7))) },
            ],
            problem: None,
        };
        let expected = json!({
            "id": "6733c088-a507-4694-aabf-ae0bc1ccaaff",
            "name": "web",
            "state": "exited",
            "directory": "/d/containers/6733c088-a507-4694-aabf-ae0bc1ccaaff",
            "process": null,
            "created": 1.0,
            "started": 4.001,
            "ended": 5.999,
            "code": 7,
            "apps": [{"name": "web", "image": image, "code": null, "ended": null}],
            "network": "private",
            "addresses": ["10.177.0.9", "fd67::9"],
            "ports": [
                {"name": "publish-1", "address": "127.0.0.1", "host": 8080, "pod": 53, "count": 2, "protocol": "udp"},
                {"name": "web", "address": null, "host": 80, "pod": null, "count": null, "protocol": null},
            ],
            "runs": [
                {"started": 2.5, "ended": null, "code": null, "failure": null, "killed": false, "foundEnded": 3.0},
                {"started": 4.001, "ended": 5.999, "code": 7, "failure": null, "killed": false, "foundEnded": null},
            ],
            "problem": null,
        });
        assert_eq!(object(&pod), expected);
        assert_eq!(time(Some(at(1_795_932_077_123))).to_string(), "1795932077.123");
    }
}
