// SPDX-License-Identifier: Apache-2.0

use super::*;

const MEMORY: u64 = 38 << 20;
const SKIPPABLE: &[u8] = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";

/// Returns bytes that compress a bit.
fn piece(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..) & 15).collect()
}

fn frame(piece: &[u8], has_size: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(has_size).unwrap();
    encoder.set_pledged_src_size(has_size.then_some(piece.len() as u64)).unwrap();
    io::Write::write_all(&mut encoder, piece).unwrap();
    encoder.finish().unwrap()
}

fn file(pieces: &[&[u8]]) -> Vec<u8> {
    let frames = pieces.iter().enumerate().map(|(number, piece)| frame(piece, number % 2 == 0));
    frames.collect::<Vec<_>>().concat()
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

fn serial(file: &[u8]) -> Result<Vec<u8>> {
    all(Box::new(Serial::new(file, MEMORY)?))
}

/// Counts the batches that are gathered from a file, and tells whether they reach its end.
///
/// If they do not, the rest of the file is decoded as it is read.
fn batches(mut file: &[u8]) -> (usize, bool) {
    let mut count = 0;
    loop {
        match gather(&mut file).unwrap() {
            Next::Batch(_) => count += 1,
            Next::Rest(_) => return (count, false),
            Next::End => return (count, true),
        }
    }
}

#[test]
fn frames_come_out_in_their_order() {
    let pieces: Vec<_> = (0..9).map(|number| piece(700_000 * (number % 4), number as u64)).collect();
    let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
    let (whole, frames) = (pieces.concat(), file(&pieces));
    assert!(serial(&frames).unwrap() == whole, "the test's own files are right");
    assert!(matches!(batches(&frames), (3.., true)), "{:?}", batches(&frames));
    for memory in [MEMORY, 12 << 20, 10 << 20, 8 << 20, 3 << 20] {
        assert!(decode(&frames, memory).unwrap() == whole, "{memory}");
    }
    let between = [SKIPPABLE, &frames, SKIPPABLE, SKIPPABLE, &frames, SKIPPABLE].concat();
    assert!(decode(&between, MEMORY).unwrap() == [whole.as_slice(), &whole].concat());
    assert!(decode(SKIPPABLE, MEMORY).unwrap().is_empty());
}

#[test]
fn a_long_frame_is_decoded_as_it_is_read() {
    let (short, long) = (piece(3_000_000, 1), piece(12_000_000, 2));
    let pieces: [&[u8]; 5] = [&short, &short, &long, &short, &long];
    let frames = file(&pieces);
    assert_eq!(batches(&frames), (2, false));
    assert!(decode(&frames, MEMORY).unwrap() == pieces.concat());
    assert!(decode(&frame(&long, true), MEMORY).unwrap() == long);
}

#[test]
fn small_frames_are_decoded_together() {
    let pieces: Vec<_> = (0..3000).map(|number| piece(2000, number)).collect();
    let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
    assert!(matches!(batches(&file(&pieces)), (2..5, true)));
    assert!(decode(&file(&pieces), MEMORY).unwrap() == pieces.concat());
}

#[test]
fn files_that_are_cut_or_altered_are_refused() {
    let runs = [[b'a'; 300].as_slice(), &piece(700, 3)].concat();
    let whole = [file(&[&runs, &piece(400, 1), b"", &piece(400, 2)]).as_slice(), SKIPPABLE].concat();
    assert!(decode(&whole, MEMORY).is_ok());
    for at in 0..whole.len() {
        let (cut, mut altered) = (&whole[..at], whole.clone());
        altered[at] ^= 1;
        for file in [cut, &altered] {
            match (decode(file, MEMORY), serial(file)) {
                (Ok(found), Ok(expected)) => assert!(found == expected, "at {at}"),
                (Err(_), Err(_)) => {}
                (found, expected) => panic!("at {at}: {found:?}, expected {expected:?}"),
            }
        }
    }
    for after in [b"x".as_slice(), &[0; 5], &MAGIC, &whole[..20]] {
        assert!(decode(&[&whole, after].concat(), MEMORY).is_err(), "{after:?}");
    }
}

#[test]
fn a_frame_of_a_large_window_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    io::Write::write_all(&mut encoder, &piece(1000, 1)).unwrap();
    let large = encoder.finish().unwrap();
    let error = decode(&[frame(&piece(2_500_000, 2), true), large].concat(), MEMORY).unwrap_err();
    assert!(error.to_string().contains("expected at most"), "{error}");
}
