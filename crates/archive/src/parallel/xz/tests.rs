// SPDX-License-Identifier: Apache-2.0

use std::io::Write as _;

use super::container::{crc32, vli as read_vli};
use super::*;

const MEMORY: u64 = 38 << 20;
/// The dictionary of xz -0: 256 KiB (section 5.3.1).
const DICTIONARY: u8 = 12;

fn vli(into: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        into.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).unwrap());
}

/// Returns a stream of one block for each piece; the block headers have their sizes if `is_sized`.
fn file(pieces: &[&[u8]], is_sized: bool) -> Vec<u8> {
    let (mut file, mut records) = (Vec::new(), Vec::new());
    vli(&mut records, pieces.len());
    for piece in pieces {
        let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(piece).unwrap();
        let alone = encoder.finish().unwrap();
        if file.is_empty() {
            file.extend(&alone[..STREAM_HEADER]);
        }
        // The piece's index ends in front of the footer, which has the index's length.
        let footer = &alone[alone.len() - 12..];
        let index = 4 * (usize::try_from(u32::from_le_bytes(footer[4..8].try_into().unwrap())).unwrap() + 1);
        let header = 4 * (usize::from(alone[STREAM_HEADER]) + 1);
        let body = &alone[STREAM_HEADER + header..alone.len() - 12 - index];
        // The indicator and the count of one are followed by the unpadded size, which includes the header's and the
        // CRC64's.
        let mut index = &alone[alone.len() - 12 - index + 2..];
        let compressed = usize::try_from(read_vli(&mut index).unwrap()).unwrap() - header - 8;
        let mut sized = vec![0, if is_sized { 0xc0 } else { 0 }];
        if is_sized {
            vli(&mut sized, compressed);
            vli(&mut sized, piece.len());
        }
        sized.extend([0x21, 1, DICTIONARY]);
        sized.resize(sized.len().next_multiple_of(4), 0);
        sized[0] = u8::try_from(sized.len() / 4).unwrap();
        sized.extend(crc32(&sized));
        vli(&mut records, sized.len() + compressed + 8);
        vli(&mut records, piece.len());
        file.extend([&sized, body].concat());
    }
    let mut index = [vec![0], records].concat();
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32(&index));
    let size = u32::try_from(index.len() / 4 - 1).unwrap().to_le_bytes();
    let footer = [size.as_slice(), &file[6..8]].concat();
    [file, index, crc32(&footer).to_vec(), footer, b"YZ".to_vec()].concat()
}

fn all(mut decoder: Box<dyn Decode + '_>) -> Result<Vec<u8>> {
    let (mut decoded, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match decoder.decode(&mut buffer)? {
            0 => return Ok(decoded),
            count => decoded.extend_from_slice(&buffer[..count]),
        }
    }
}

fn decode(file: &[u8], memory: u64) -> Result<Vec<u8>> {
    all(open(file, memory)?)
}

fn plain(file: &[u8]) -> Result<Vec<u8>> {
    all(Box::new(Decoder::new(file, MEMORY)?))
}

/// Returns bytes that compress a bit, 256 times `length` of them.
fn piece(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state & 15).unwrap()
    };
    (0..length * 256).map(|_| next() + 1).collect()
}

#[test]
fn blocks_come_out_in_their_order() {
    let pieces: Vec<_> = (0..9).map(|number| piece(1000 * usize::from(number % 4), number)).collect();
    let pieces: Vec<_> = pieces.iter().filter(|piece| !piece.is_empty()).map(Vec::as_slice).collect();
    let whole = pieces.concat();
    let sized = file(&pieces, true);
    assert!(plain(&sized).unwrap() == whole, "the test's own files are right");
    assert!(decode(&sized, MEMORY).unwrap() == whole);
    // With less memory, there are no threads, or blocks are decoded as they are read.
    for memory in [2 << 20, 7 << 20, 8 << 20, 9 << 20] {
        assert!(decode(&sized, memory).unwrap() == whole, "{memory}");
    }
    let unsized_ = file(&pieces, false);
    let padded = |file: &[u8]| [file, &[0; 8]].concat();
    for files in [[&sized, &sized], [&sized, &unsized_], [&unsized_, &sized]] {
        let both = files.map(|file| padded(file)).concat();
        assert!(decode(&both, MEMORY).unwrap() == [whole.as_slice(), &whole].concat());
    }
}

#[test]
fn a_large_block_after_small_ones() {
    let (small, large) = (piece(10, 1), piece(40_000, 2));
    let pieces: [&[u8]; 4] = [&small, &large, &large, &small];
    // Two small blocks fit, a large one does not.
    assert!(decode(&file(&pieces, true), 7 << 20).unwrap() == pieces.concat());
}

#[test]
fn files_that_are_cut_or_altered_are_refused() {
    let (one, two) = (piece(1, 1), piece(2, 2));
    let whole = file(&[&one, &two, &one], true);
    assert!(decode(&whole, MEMORY).is_ok());
    for at in 0..whole.len() {
        assert!(decode(&whole[..at], MEMORY).is_err(), "cut at {at}");
        let mut altered = whole.clone();
        altered[at] ^= 1;
        // liblzma does not check every bit of what it decodes.
        let is_seen = plain(&altered).is_err();
        assert_eq!(decode(&altered, MEMORY).is_err(), is_seen, "altered at {at}");
    }
    for after in [b"x".as_slice(), &[0; 3], &[0; 5], &[0, 0, 0, 1], &whole[..20]] {
        assert!(decode(&[&whole, after].concat(), MEMORY).is_err(), "{after:?}");
    }
}
