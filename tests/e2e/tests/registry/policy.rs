// SPDX-License-Identifier: Apache-2.0
//! A host's policy.json holds for files, for directories and for images that the store has already, whatever they are called.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Output;

use gate::root_test;
use serde_json::{Value, json};
use testing::oci::{NAME, OciImage};
use testing::pods::{Gantry, assert_says, text};
use testing::registry::Server;
use testing::rootfs::Rootfs;

/// Writes a host's policy, and returns the directory of its configuration.
fn config(gantry: &Gantry, policy: &Value) -> PathBuf {
    let config = gantry.beside("config");
    fs::create_dir_all(config.join("containers")).unwrap();
    fs::write(config.join("containers/policy.json"), policy.to_string()).unwrap();
    config
}

/// Imports an image on a host with this policy.
fn import(gantry: &Gantry, policy: &Value, image: &str) -> Output {
    let config = config(gantry, policy);
    gantry.installer().env("XDG_CONFIG_HOME", config).args(["image", "import", image]).output().unwrap()
}

/// Runs the installer with these words, on a host with this policy that knows the registry.
fn on_host(gantry: &Gantry, server: &Server, policy: &Value, words: &[&str]) -> Output {
    let config = config(gantry, policy);
    let mut command = gantry.installer();
    command.envs(server.environment()).env("XDG_CONFIG_HOME", config).args(words).output().unwrap()
}

#[root_test]
fn a_rejected_image_has_no_other_name() {
    let gantry = Gantry::new();
    let (layout, link, archive) = (gantry.beside("layout"), gantry.beside("link"), gantry.beside("archive"));
    let image = OciImage::new(&[&Rootfs::busybox().unwrap()], &json!({"Cmd": ["/bin/true"]}));
    image.write_layout(&layout);
    image.write_archive(&archive);
    symlink("layout", &link).unwrap();
    let (reject, accept) = (json!([{"type": "reject"}]), json!([{"type": "insecureAcceptAnything"}]));
    let path = layout.canonicalize().unwrap();
    let forms = [
        format!("oci:{}", layout.display()),
        format!("oci:{}:{NAME}", layout.display()),
        format!("oci:{}", link.display()),
        format!("{}", layout.display()),
        format!("{}@{}", link.display(), image.id),
    ];
    for scope in [path.display().to_string(), format!("{}:{NAME}", path.display())] {
        let policy = json!({"default": accept, "transports": {"oci": {scope.clone(): reject}}});
        for form in &forms {
            let output = import(&gantry, &policy, form);
            assert_eq!(output.status.code(), Some(1), "{scope} {form}");
            assert_says(&text(&output.stderr), &["policy.json", "reject", &scope]);
            assert!(!gantry.dir().exists());
        }
        let output = import(&gantry, &policy, archive.to_str().unwrap());
        assert!(output.status.success(), "another file: {}", text(&output.stderr));
        fs::remove_dir_all(gantry.dir()).unwrap();
    }
    let output = import(&gantry, &json!({"default": reject}), archive.to_str().unwrap());
    assert_says(&text(&output.stderr), &["policy.json", "reject", "default"]);
    let aci = gantry.image("a", &Rootfs::busybox().unwrap(), &testing::image::manifest("a", &["/bin/true"]));
    let output = import(&gantry, &json!({"default": reject}), aci.to_str().unwrap());
    assert_says(&text(&output.stderr), &["policy.json", "reject", "default"]);
}

/// An image of busybox in a registry, and an app container image that depends on it once the store has it.
struct Stored {
    gantry: Gantry,
    server: Server,
    id: String,
    name: String,
}

impl Stored {
    /// Pulls the image on a host that allows all, and gives it one more name.
    fn new() -> Self {
        let gantry = Gantry::new();
        let image = OciImage::new(&[&Rootfs::busybox().unwrap()], &json!({"Cmd": ["/bin/true"]}));
        let server = Server::start(&image.blobs());
        let alias = format!("[aliases]\n\"word\" = \"localhost:{}/a/b\"\n", server.port);
        fs::write(server.path("registries.conf"), alias).unwrap();
        let name = server.name("a/b");
        let stored = Self { id: image.id, name, gantry, server };
        let all = json!({"default": [{"type": "insecureAcceptAnything"}]});
        for words in [&["image", "pull", &stored.name][..], &["image", "tag", &stored.name, "web"]] {
            let output = on_host(&stored.gantry, &stored.server, &all, words);
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        stored
    }

    /// Everything that leads to the image without its registry's full name, as the words of a command.
    fn ways(&self) -> Vec<Vec<String>> {
        let listed = on_host(
            &self.gantry,
            &self.server,
            &json!({"default": [{"type": "insecureAcceptAnything"}]}),
            &["image", "inspect", &self.id],
        );
        let inspected: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let mut manifest = testing::image::manifest("dependent", &["/bin/true"]);
        manifest["dependencies"] = json!([{"imageName": inspected[0]["name"], "imageID": self.id}]);
        let aci = self.gantry.image("dependent", &Rootfs::default(), &manifest);
        let pod = self.gantry.beside("pod.json");
        let apps = json!([{"name": "web", "image": {"id": self.id}}]);
        let document = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
        fs::write(&pod, document.to_string()).unwrap();
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        vec![
            owned(&["--image", &self.id]),
            owned(&["--image", &self.id[..20]]),
            owned(&["--image", "word:1"]),
            owned(&["--image", "localhost/web"]),
            owned(&["--image", "localhost/web", "--pull", "never"]),
            owned(&["--image", aci.to_str().unwrap()]),
            owned(&["--pod-manifest", pod.to_str().unwrap()]),
        ]
    }

    fn prepare(&self, policy: &Value, way: &[String]) -> Output {
        let words: Vec<_> = ["prepare"].into_iter().chain(way.iter().map(String::as_str)).collect();
        on_host(&self.gantry, &self.server, policy, &words)
    }

    fn refused(&self, policy: &Value, way: &[String], parts: &[&str]) {
        let output = self.prepare(policy, way);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{way:?}: {error}");
        assert_says(&error, parts);
        assert_eq!(self.gantry.pods().len(), 0, "{way:?}");
    }
}

#[root_test]
fn an_image_of_the_store_is_judged_whatever_leads_to_it() {
    let stored = Stored::new();
    let (reject, accept) = (json!([{"type": "reject"}]), json!([{"type": "insecureAcceptAnything"}]));
    let repository = stored.name.trim_end_matches(":1");
    let narrow = json!({"default": accept, "transports": {"docker": {repository: reject}}});
    let nothing = json!({"default": reject});
    for way in &stored.ways() {
        stored.refused(&narrow, way, &["policy.json", "it says reject", repository]);
        stored.refused(&nothing, way, &["policy.json", "it says reject", "default"]);
    }
    // The name that it was pulled by may go: where it came from stays.
    let output = on_host(&stored.gantry, &stored.server, &narrow, &["image", "rm", &stored.name]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for way in &stored.ways() {
        stored.refused(&narrow, way, &["policy.json", "it says reject", repository]);
    }
    // A host that allows its repository and localhost, and nothing else but files, takes it each way.
    let docker = json!({repository: accept, "localhost": accept});
    let strict = json!({"default": accept, "transports": {"docker": docker, "oci": {"": reject}}});
    for way in &stored.ways() {
        let output = stored.prepare(&strict, way);
        assert!(output.status.success(), "{way:?}: {}", text(&output.stderr));
    }
}

#[root_test]
fn a_signature_that_was_not_checked_is_asked_for() {
    let stored = Stored::new();
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let key = stored.gantry.beside("key.pem");
    fs::write(&key, KEY).unwrap();
    let signed = json!([{"type": "sigstoreSigned", "keyPath": key}]);
    let repository = stored.name.trim_end_matches(":1");
    let policy = json!({"default": accept, "transports": {"docker": {repository: signed}}});
    let unseen = "was not checked when the store got the image";
    for way in &stored.ways() {
        let parts = if way.contains(&"word:1".to_owned()) { "it has no signature" } else { unseen };
        stored.refused(&policy, way, &["policy.json", parts]);
    }
    let name = || ["--image".to_owned(), stored.name.clone()];
    let with = |words: &[&str]| {
        name().into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>()
    };
    stored.refused(&policy, &with(&["--pull", "never"]), &[unseen]);
    stored.refused(&policy, &with(&[]), &["it has no signature"]);
}

/// A public key, Ed25519 (RFC 8410, section 10.1).
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
