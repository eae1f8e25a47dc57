// SPDX-License-Identifier: Apache-2.0
//! What is kept of images that were pulled: names, and blobs that other images share, that repair a tree, and that are
//! saved.

use std::fs;
use std::path::Path;

use gate::root_test;
use pod::layout;
use serde_json::{Value, json};
use testing::oci::{OciImage, oci_digest};
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

use testing::registry::Server;

use crate::server::installer;

fn image(word: &str) -> OciImage {
    let lower = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, "lower\n".into()));
    let upper = Rootfs::default().with("etc/word", Node::File(0o644, word.into()));
    let config = json!({"Entrypoint": ["/bin/cat"], "Cmd": ["/etc/word"], "Labels": {"word": word}});
    OciImage::new(&[&lower, &upper], &config)
}

fn said(gantry: &Gantry, server: &Server, words: &[&str]) -> String {
    let output = installer(gantry, server, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(gantry: &Gantry, server: &Server, words: &[&str], parts: &[&str]) {
    let output = installer(gantry, server, words);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{words:?}: {error}");
    assert_says(&error, parts);
}

/// The names of the blobs that are kept.
fn blobs(gantry: &Gantry) -> Vec<String> {
    let names = fs::read_dir(gantry.dir().join(layout::BLOBS)).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn kept_as(blob: &[u8]) -> String {
    oci_digest(blob).replacen(':', "-", 1)
}

#[root_test]
fn images_share_blobs_which_repair_them_and_are_saved() {
    let gantry = Gantry::new();
    let (one, two) = (image("one"), image("two"));
    let server = Server::start(&one.blobs());
    server.add("a/c", &two.blobs());
    let name = |repository: &str| format!("localhost:{}/{repository}:1", server.port);
    let (first, second) = (name("a/b"), name("a/c"));
    assert_eq!(said(&gantry, &server, &["image", "pull", &first]), format!("{}\n", one.id));
    let mut all: Vec<_> = one.blobs().iter().map(|blob| kept_as(blob)).collect();
    all.sort();
    assert_eq!(blobs(&gantry), all, "configuration, layers and manifest");

    // The registry can't send the layer that both have any more.
    let shared = one.blobs()[1];
    fs::remove_file(server.data(shared)).unwrap();
    assert_eq!(said(&gantry, &server, &["image", "pull", &second]), format!("{}\n", two.id));
    let list: Value =
        serde_json::from_str(&said(&gantry, &server, &["image", "list", "--format", "json"])).unwrap();
    for listed in list.as_array().unwrap() {
        assert_eq!(listed["shared"], json!(shared.len()), "{listed}");
        assert!(listed["layers"].as_u64().unwrap() > shared.len() as u64, "{listed}");
    }
    let of_label = said(&gantry, &server, &["image", "list", "--label", "word=two"]);
    assert_says(&of_label, &[&second]);
    assert!(!of_label.contains(&first), "{of_label}");

    // A damaged tree is made again of the blobs.
    let word = gantry.dir().join(layout::TREES).join(&one.id).join("tree/rootfs/etc/word");
    fs::write(&word, "damaged").unwrap();
    assert_says(&said(&gantry, &server, &["verify", "--repair", &first]), &["renewed from its blobs"]);
    assert_eq!(fs::read_to_string(&word).unwrap(), "one");

    // What is saved is what was pulled.
    let (archive, directory) = (gantry.beside("saved.tar"), gantry.beside("saved"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    said(&gantry, &server, &["image", "save", &first, "-o", &path(&archive)]);
    said(&gantry, &server, &["image", "save", &first, "-o", &path(&directory), "--format", "oci"]);
    for blob in one.blobs() {
        let saved = directory.join("blobs").join(oci_digest(blob).replacen(':', "/", 1));
        assert!(fs::read(saved).unwrap() == blob, "byte for byte");
    }
    refused(
        &gantry,
        &server,
        &["image", "save", &first, "-o", &path(&archive)],
        &["saved.tar", "there already"],
    );
    let other = Gantry::new();
    for saved in [&archive, &directory] {
        assert_eq!(said(&other, &server, &["image", "import", &path(saved)]), format!("{}\n", one.id));
        said(&other, &server, &["image", "rm", &first]);
    }

    // A layer stays as long as an image is made of it.
    said(&gantry, &server, &["image", "rm", &first]);
    assert!(blobs(&gantry).contains(&kept_as(shared)), "the other image needs it");
    assert!(!blobs(&gantry).contains(&kept_as(one.blobs()[2])), "nothing needs it");
    said(&gantry, &server, &["gc"]);
    assert_eq!(blobs(&gantry), Vec::<String>::new());
}

#[root_test]
fn a_name_is_given_moved_and_taken() {
    let gantry = Gantry::new();
    let (one, two) = (image("one"), image("two"));
    let server = Server::start(&one.blobs());
    server.add("a/c", &two.blobs());
    let [first, second] =
        ["a/b", "a/c"].map(|repository| format!("localhost:{}/{repository}:1", server.port));
    said(&gantry, &server, &["image", "pull", &first, &second]);
    said(&gantry, &server, &["image", "tag", &first, "web"]);
    let inspect = |name: &str| -> Value {
        serde_json::from_str(&said(&gantry, &server, &["image", "inspect", name])).unwrap()
    };
    let found = &inspect("web")[0];
    assert_eq!((&found["id"], &found["names"]), (&json!(one.id), &json!(["localhost/web:latest", first])));
    assert_eq!(found["config"]["config"]["Labels"], json!({"word": "one"}));
    let kinds: Vec<_> = found["blobs"].as_array().unwrap().iter().map(|blob| blob["kind"].clone()).collect();
    assert_eq!(kinds, ["manifest", "config", "layer", "layer"]);

    said(&gantry, &server, &["image", "tag", &two.id, "localhost/web:latest"]);
    assert_eq!(inspect("web")[0]["id"], json!(two.id), "the name has moved");
    assert_eq!(inspect(&first)[0]["names"], json!([first]));
    refused(&gantry, &server, &["image", "rm", &two.id], &["is called", "localhost/web:latest", &second]);
    said(&gantry, &server, &["image", "rm", "web"]);
    assert_eq!(inspect(&second)[0]["names"], json!([second]));
    said(&gantry, &server, &["image", "rm", &second]);
    refused(&gantry, &server, &["image", "inspect", &two.id], &["no such image"]);
}

#[root_test]
fn a_registry_is_asked_when_the_user_says() {
    let gantry = Gantry::new();
    let one = image("one");
    let mut server = Server::start(&one.blobs());
    let name = format!("localhost:{}/a/b:1", server.port);
    let prepare = |words: &[&'static str]| -> Vec<String> {
        ["prepare", "--image", &name].iter().chain(words).map(|word| (*word).to_owned()).collect()
    };
    let run = |server: &Server, words: &[&'static str]| {
        let words = prepare(words);
        installer(&gantry, server, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let output = run(&server, &["--pull", "never"]);
    assert_says(&text(&output.stderr), &[&name, "the store does not have it"]);
    assert!(!gantry.dir().exists());
    let output = run(&server, &["--platform", "linux/riscv64", "--no-keep-blobs"]);
    assert_says(&text(&output.stderr), &["it is for linux/", "expected linux/riscv64"]);
    let output = run(&server, &["--no-keep-blobs", "--verbose"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // The configuration and two layers.
    assert_eq!(text(&output.stderr).lines().filter(|line| line.contains(" s: pulling ")).count(), 3);
    assert_eq!(blobs(&gantry), Vec::<String>::new(), "none are kept");
    server.stop();
    for words in [&[][..], &["--pull", "missing"], &["--pull", "never"], &["--pull", "newer"]] {
        let output = run(&server, words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).contains("the store's image is taken"), words.contains(&"newer"));
    }
    let output = run(&server, &["--pull", "always"]);
    assert_eq!(output.status.code(), Some(1));
    assert_says(&text(&output.stderr), &["cannot fetch", &name]);
}

/// A short name is what the host's aliases say, or an image of the store; it is never guessed.
#[root_test]
fn a_short_name_is_what_the_host_says() {
    let gantry = Gantry::new();
    let one = image("one");
    let server = Server::start(&one.blobs());
    let full = server.name("a/b");
    let prepare = || installer(&gantry, &server, &["prepare", "--image", "word:1"]);
    let none = prepare();
    assert_eq!(none.status.code(), Some(1));
    assert_says(&text(&none.stderr), &["word:1", "docker.io/library/word:1"]);
    let alias = format!("[aliases]\n\"word\" = \"localhost:{}/a/b\"\n", server.port);
    fs::write(server.path("registries.conf"), alias).unwrap();
    let output = prepare();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_says(&said(&gantry, &server, &["image", "list"]), &[&full, &one.id[..19]]);
    assert_eq!(said(&gantry, &server, &["image", "pull", "word:1"]), format!("{}\n", one.id));
    // Two registries to search are no answer.
    fs::write(server.path("registries.conf"), "unqualified-search-registries = [\"a.b\", \"c.d\"]\n")
        .unwrap();
    let output = installer(&gantry, &server, &["image", "pull", "other"]);
    assert_says(&text(&output.stderr), &["a.b/other or c.d/other"]);
}

/// Pulls of the same image and of another that shares layers, beside collections: one wins, and the store is whole.
#[root_test]
fn pulls_and_collections_side_by_side() {
    let gantry = Gantry::new();
    let (one, two) = (image("one"), image("two"));
    let server = Server::start(&one.blobs());
    server.add("a/c", &two.blobs());
    let (first, second) = (server.name("a/b"), server.name("a/c"));
    // A collection needs a directory to look at.
    said(&gantry, &server, &["image", "pull", &first]);
    for _ in 0..4 {
        std::thread::scope(|scope| {
            let run = |words: Vec<&str>| {
                let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
                let (gantry, server) = (&gantry, &server);
                scope.spawn(move || {
                    said(gantry, server, &words.iter().map(String::as_str).collect::<Vec<_>>());
                });
            };
            run(vec!["image", "pull", &first]);
            run(vec!["image", "pull", &first, &second]);
            run(vec!["image", "pull", &second]);
            run(vec!["gc"]);
        });
        // A collection may have removed an image that was there already, but none of its own blobs alone.
        for (name, image) in [(&first, &one), (&second, &two)] {
            assert_eq!(said(&gantry, &server, &["image", "pull", name]), format!("{}\n", image.id));
            said(&gantry, &server, &["image", "save", name, "-o", gantry.beside("saved").to_str().unwrap()]);
            fs::remove_file(gantry.beside("saved")).unwrap();
        }
        said(&gantry, &server, &["verify"]);
        assert_eq!(fs::read_dir(gantry.dir().join(layout::STAGING)).unwrap().count(), 0);
        said(&gantry, &server, &["gc"]);
        assert_eq!(blobs(&gantry), Vec::<String>::new());
    }
}

/// A layer is unpacked while others arrive: what is wrong with it is said, and nothing is left but complete blobs.
#[root_test]
fn a_layer_that_is_refused_ends_its_pull() {
    let gantry = Gantry::new();
    let layers = [
        Rootfs::busybox().unwrap().layer(),
        Rootfs::default().with("etc/.wh...", Node::File(0o644, "".into())).layer(),
        Rootfs::default().with("etc/word", Node::File(0o644, "upper".into())).layer(),
    ];
    let diff_ids: Vec<_> = layers.iter().map(|layer| oci_digest(layer)).collect();
    let image = OciImage::with_diff_ids(&layers, &diff_ids, &json!({"Cmd": ["/bin/true"]}));
    let server = Server::start(&image.blobs());
    let name = server.name("a/b");
    refused(&gantry, &server, &["image", "pull", &name], &["layer 2 of 3", "whiteout"]);
    let left = |name: &str| fs::read_dir(gantry.dir().join(name)).map_or(0, Iterator::count);
    assert_eq!((left(layout::TREES), left(layout::STAGING)), (0, 0));

    // The registry doesn't have the second one any more: the fetch has failed, not the worker.
    let gantry = Gantry::new();
    fs::remove_file(server.data(&layers[1])).unwrap();
    refused(&gantry, &server, &["image", "pull", &name], &["404"]);
    let left = |name: &str| fs::read_dir(gantry.dir().join(name)).map_or(0, Iterator::count);
    assert_eq!((left(layout::TREES), left(layout::STAGING)), (0, 0));
}
