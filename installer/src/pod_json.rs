// SPDX-License-Identifier: Apache-2.0
//! Pods as JSON for programs; `docs/formats/pods.md` describes it.

use pods::{App, Description, End, Moment, Outcome, Run};
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

fn run(run: &Run) -> Value {
    let failure = match run.outcome() {
        Some(Outcome::Failure(step)) => Some(step),
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
        "killed": run.outcome() == Some(Outcome::Killed),
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
            runs: vec![
                Run { started: Some(at(2500)), end: Some(End::Found(at(3000))) },
                Run { started: Some(at(4001)), end: Some(End::At(at(5999), Outcome::Code(7))) },
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
