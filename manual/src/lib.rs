// SPDX-License-Identifier: Apache-2.0
//! Man pages and completions, as `make install` puts them. They come from the definitions of the commands, and from the
//! documents that say the same to readers of the repository, so they can't say anything else.
//!
//! This is a program of its own, which is not installed: what it takes is not linked into the installer.

mod page;

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;

/// The name of the command in man pages and completions.
const NAME: &str = "gantry";

/// A page that is made of a document.
struct Document {
    name: &'static str,
    section: u8,
    title: &'static str,
    text: &'static str,
}

/// The pages about what is no command.
const DOCUMENTS: [Document; 3] = [
    Document {
        name: "gantry-init",
        section: 8,
        title: "the program of a pod directory that runs the pod",
        text: include_str!("../../docs/running.md"),
    },
    Document {
        name: "gantry-pod",
        section: 5,
        title: "manifests of pods and images, and what is enforced of them",
        text: include_str!("../../docs/manifests.md"),
    },
    Document {
        name: "gantry-image",
        section: 5,
        title: "images, and the store that they are in",
        text: include_str!("../../docs/images.md"),
    },
];

/// Writes all pages and completions below a directory, as in a prefix: `share/man/man1/gantry.1` and so on.
///
/// # Errors
/// If that fails.
pub fn write(prefix: &Path) -> Result<()> {
    let mut command = installer::command().name(NAME).bin_name(NAME);
    command.build();
    let man = prefix.join("share/man");
    pages(&command, NAME, &man)?;
    for Document { name, section, title, text } in DOCUMENTS {
        let path = man.join(format!("man{section}/{name}.{section}"));
        put(&path, page::of_document(name, section, title, text).as_bytes())?;
    }
    for (shell, path) in [
        (Shell::Bash, "share/bash-completion/completions/gantry"),
        (Shell::Fish, "share/fish/vendor_completions.d/gantry.fish"),
        (Shell::Zsh, "share/zsh/site-functions/_gantry"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, NAME, &mut text);
        put(&prefix.join(path), &text)?;
    }
    Ok(())
}

/// Writes the page of a command, and those of its subcommands.
fn pages(command: &Command, name: &str, man: &Path) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        pages(subcommand, &format!("{name}-{}", subcommand.get_name()), man)?;
    }
    let path = man.join(format!("man1/{name}.1"));
    let mut text = Vec::new();
    // The parser keeps names for ever. This process writes each page once.
    let named: &'static str = name.to_owned().leak();
    let command = command.clone().name(named).bin_name(name.replace('-', " "));
    clap_mangen::Man::new(command).title(name.to_uppercase()).render(&mut text)?;
    put(&path, &text)
}

fn put(path: &Path, text: &[u8]) -> Result<()> {
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = File::create(path)?;
        std::io::Write::write_all(&mut file, text)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_completions() {
        let prefix = tempfile::tempdir().unwrap();
        write(prefix.path()).unwrap();
        let read = |path: &str| fs::read_to_string(prefix.path().join(path)).unwrap();
        for subcommand in installer::command().get_subcommands() {
            let name = subcommand.get_name();
            let page = read(&format!("share/man/man1/gantry-{name}.1"));
            assert!(page.contains(".SH NAME") && page.contains("gantry"), "{name}");
            assert!(read("share/bash-completion/completions/gantry").contains(name));
        }
        assert!(read("share/man/man1/gantry-run.1").contains("\\-\\-env\\-file"));
        assert!(read("share/man/man1/gantry-image-import.1").contains(".SH"));
        let pod = read("share/man/man5/gantry-pod.5");
        assert!(pod.contains(".SH ANNOTATIONS") && pod.contains("gantry/stop\\-timeout"), "{pod}");
        for page in ["man8/gantry-init.8", "man5/gantry-image.5"] {
            assert!(read(&format!("share/man/{page}")).starts_with(".TH"));
        }
    }
}
