// SPDX-License-Identifier: Apache-2.0
//! The list of layers, as JSON in a file in memory, and the files that they are parts of.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pod::path::AbsolutePath;
use serde::{Deserialize, Serialize};

use crate::extract::layers::{Frame, FrameFile, Gate, Layer};
use crate::fault::{OrFault as _, Result, ensure};
use archive::layer::Part;
use pod::blob::BlobDigest;
use sys::content::in_memory;

#[derive(Debug, Serialize, Deserialize)]
struct List {
    layers: Vec<ListedLayer>,
    /// Whether the last file is the pipe of layers that are still arriving.
    is_gated: bool,
    directory: String,
    files: Vec<(String, Place)>,
    made: Vec<AbsolutePath>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedLayer {
    place: Place,
    blob: Option<BlobDigest>,
    diff_id: BlobDigest,
}

/// A part of one of the files that follow the list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Place {
    /// The number of the file, from 0 on.
    file: usize,
    offset: u64,
    length: u64,
}

/// Returns the list, and after it the files that it names, each once, and the pipe of layers that are still arriving.
pub(super) fn write(
    layers: &[Layer],
    frame: &Frame,
    arrival: Option<&Arc<File>>,
) -> io::Result<Vec<Arc<File>>> {
    let mut files: Vec<Arc<File>> = Vec::new();
    let mut place = |Part { file, offset, length }: &Part| {
        let known = files.iter().position(|known| Arc::ptr_eq(known, file));
        let file = known.unwrap_or_else(|| {
            files.push(Arc::clone(file));
            files.len() - 1
        });
        Place { file, offset: *offset, length: *length }
    };
    let listed = layers.iter().map(|Layer { part, blob, diff_id }| ListedLayer {
        place: place(part),
        blob: *blob,
        diff_id: *diff_id,
    });
    let layers = listed.collect();
    let of_frame = |FrameFile { name, content }: &FrameFile| (name.clone(), place(content));
    let list = List {
        layers,
        is_gated: arrival.is_some(),
        directory: frame.directory.clone(),
        files: frame.files.iter().map(of_frame).collect(),
        made: frame.made.clone(),
    };
    files.insert(0, Arc::new(in_memory("layers", &serde_json::to_vec(&list)?)?));
    files.extend(arrival.cloned());
    Ok(files)
}

/// Reads the list in the first of the files, about the others.
pub(super) fn read(files: Vec<OwnedFd>) -> Result<(Vec<Layer>, Gate, Frame)> {
    let mut files = files.into_iter().map(File::from);
    let mut list = files.next().or_fault(|| "no list: expected one")?;
    let mut text = Vec::new();
    // The position is shared with the installer, which has written the list.
    list.rewind()?;
    list.read_to_end(&mut text)?;
    let List { layers, is_gated, directory, files: of_frame, made } =
        serde_json::from_slice(&text).map_err(io::Error::from)?;
    let gate = match is_gated {
        true => Gate::of(files.next_back().or_fault(|| "no pipe: expected one")?)?,
        false => Gate::open(),
    };
    let files: Vec<_> = files.map(Arc::new).collect();
    let part = |Place { file, offset, length }: Place| {
        let count = files.len();
        ensure!(file < count, "file {file} of {count}: expected one that was handed over");
        Ok(Part { file: Arc::clone(&files[file]), offset, length })
    };
    let layer =
        |ListedLayer { place, blob, diff_id }: ListedLayer| Ok(Layer { part: part(place)?, blob, diff_id });
    let frame_file = |(name, place): (String, Place)| Ok(FrameFile { name, content: part(place)? });
    let frame_files = of_frame.into_iter().map(frame_file).collect::<Result<_>>()?;
    let layers = layers.into_iter().map(layer).collect::<Result<_>>()?;
    Ok((layers, gate, Frame { directory, files: frame_files, made }))
}
