// SPDX-License-Identifier: Apache-2.0
//! `installer image rm`: removes images that no pod refers to.

use anyhow::{Result, anyhow};
use pod::id::TreeId;
use report::Hint as _;
use store::names::Names;
use store::{Collected, DataDir, Kept, NoImage, Selector};

use crate::context::{Context, report_mounted, sweep};
use crate::exit::Exit;
use crate::ui::Ui;

/// Remove images that no pod refers to, or names of images
///
/// An image with several names loses the one that is given. With its last name, the image is removed, and the layers that
/// no other image shares.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images, by id, the beginning of an id, or name
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    if let Some(exit) = context.in_store(|data_dir| remove(data_dir, &args.images))? {
        return Ok(exit);
    }
    context.check_dir()?;
    match args.images.first() {
        Some(image) => Err(report::told(NoImage(Selector::any(image)))),
        None => Ok(Exit::Done),
    }
}

fn remove(data_dir: &DataDir, images: &[String]) -> Result<Exit> {
    // The sweep comes first: if an earlier removal was killed halfway, repeating the command removes its leftovers even
    // though the image itself is gone already.
    let mut exit = sweep(data_dir)?;
    store::sweep(data_dir)?;
    let (mut ids, mut lines) = (Vec::new(), Ui.lines());
    for image in images {
        // The shared lock on the tree is released again here, before the tree is locked exclusively.
        let id = store::resolve(data_dir, &Selector::any(image))?.id();
        match Names::change(data_dir, |names| unname(names, id, image))? {
            Some(name) => lines.add(&format!("removed the name {name} of {id}")),
            None if ids.contains(&id) => {}
            None => ids.push(id),
        }
    }
    let outcomes = store::remove(data_dir, &ids)?;
    store::sweep(data_dir)?;
    let mut refused = Vec::new();
    for (id, outcome) in outcomes {
        match outcome {
            Collected::Removed(_) | Collected::Kept(Kept::Missing) => lines.add(&format!("removed {id}")),
            Collected::Kept(Kept::Mounted(mounted)) => {
                exit = report_mounted(format!("cannot remove image {id}"), mounted);
            }
            Collected::Kept(Kept::InUse) => refused.push(format!("image {id} is in use")),
            Collected::Kept(Kept::Referred(pods)) => refused.push(format!(
                "pod {} refers to image {id}",
                pods.first().map(ToString::to_string).unwrap_or_default()
            )),
        }
    }
    match refused.as_slice() {
        [] => lines.end().map(|()| exit),
        all => Err(anyhow!("{}", all.join("; ")))
            .hint(format!("{} rm removes a pod that has ended", report::program())),
    }
}

/// Takes one of several names from an image, and returns it; `None` if the image itself is to be removed.
///
/// # Errors
/// If the image is called by its id, and has several names.
fn unname(names: &mut Names, id: TreeId, typed: &str) -> Result<Option<String>> {
    let called = names.find(typed).into_iter().filter(|(of, _)| *of == id).map(|(_, name)| name.to_owned());
    let called = called.collect::<Vec<_>>();
    let Some(image) = names.of(id) else { return Ok(None) };
    let own = called.into_iter().find(|name| image.names.contains(name));
    match own {
        _ if image.names.len() < 2 => Ok(None),
        Some(name) => {
            names.of_mut(id).names.remove(&name);
            Ok(Some(name))
        }
        None => {
            let all: Vec<_> = image.names.iter().map(String::as_str).collect();
            Err(anyhow!("image {id} is called {}: expected a name", all.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_goes_with_its_image() {
        let id = TreeId::of_tar([1; 32].into());
        let mut names = Names::default();
        assert_eq!(unname(&mut names, id, "example.com/hello").unwrap(), None, "an image without names");
        names.give(id, "localhost/web:1");
        names.give(id, "localhost/web:latest");
        assert!(
            unname(&mut names, id, &id.to_string()).unwrap_err().to_string().contains("web:1, localhost")
        );
        assert_eq!(unname(&mut names, id, "web").unwrap().as_deref(), Some("localhost/web:latest"));
        assert_eq!(unname(&mut names, id, "localhost/web:1").unwrap(), None);
        assert_eq!(unname(&mut names, id, &id.to_string()).unwrap(), None);
        assert!(names.called("localhost/web:1").is_some(), "a pod may refer to it");
    }
}
