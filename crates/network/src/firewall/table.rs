// SPDX-License-Identifier: Apache-2.0
//! A pod's table.
//!
//! It has an owner (`NFT_TABLE_F_OWNER`): the socket that made it. No other socket can change it, and the kernel
//! removes it with the last descriptor of that socket. So the table is also what reserves the pod's number: no other pod
//! can make one of the same name.

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use super::rules::{Chain, Rule};
use super::{INET, SUBSYSTEM, encode, header};
use crate::error::Error;
use crate::netlink::answer::Answer;
use crate::netlink::message::{ACKNOWLEDGE, APPEND, CREATE, EXCLUSIVE, Message};
use crate::netlink::socket::{Request, Socket};

/// `NFNL_MSG_BATCH_*`.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFT_MSG_*`.
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
/// `NFT_TABLE_F_OWNER`.
const OWNER: u32 = 2;

/// The most bytes of one transaction, below what a socket can send at once (`net.core.wmem_default`).
const BATCH_MAX: usize = 64 << 10;
/// The length of the message that begins a transaction, and of the one that ends it.
const EDGE: usize = 20;

/// Opens a socket that can own a table.
pub(crate) fn socket() -> Result<Socket, Error> {
    Socket::open(Some(NETFILTER)).map_err(|errno| Error::NoTables { errno })
}

/// Makes a table that the socket owns. Returns whether there was none of this name.
pub(crate) fn make(socket: &Socket, table: &str, comment: &str) -> Result<bool, Error> {
    let message = Message::new(NEW_TABLE, CREATE | EXCLUSIVE, &header(INET))
        .text(1, table)
        .big_endian(2, OWNER)
        .bytes(6, &user_data(comment));
    let request = Request::new(format!("make nf_tables table {table}"), message);
    match transaction(socket, &[request]) {
        Ok(()) => Ok(true),
        // PERM: another socket owns the table of this name.
        Err(Error::Kernel { errno: Errno::EXIST | Errno::PERM, .. }) => Ok(false),
        // The kernel does not know about owners.
        Err(Error::Kernel { errno: errno @ (Errno::OPNOTSUPP | Errno::INVAL), .. }) => {
            Err(Error::NoTables { errno })
        }
        Err(error) => Err(error),
    }
}

/// Makes the table's chains, and fills all but those that open published ports.
pub(crate) fn fill(socket: &Socket, table: &str, rules: &[Rule]) -> Result<(), Error> {
    let chains = Chain::ALL.into_iter().map(|chain| new_chain(table, chain));
    let rules = rules.iter().filter(|rule| !rule.chain.opens()).map(|rule| new_rule(table, rule));
    transactions(socket, &chains.chain(rules).collect::<Vec<_>>())
}

/// Opens the published ports of a table that is filled.
pub(crate) fn open(socket: &Socket, table: &str, rules: &[Rule]) -> Result<(), Error> {
    let rules = rules.iter().filter(|rule| rule.chain.opens()).map(|rule| new_rule(table, rule));
    transactions(socket, &rules.collect::<Vec<_>>())
}

/// Closes the published ports of a table, if it has opened them.
pub(crate) fn close(socket: &Socket, table: &str) -> Result<(), Error> {
    let empty = |chain: Chain| {
        let name = chain.name();
        let message = Message::new(DELETE_RULE, 0, &header(INET)).text(1, table).text(2, name);
        Request::new(format!("empty chain {name} of nf_tables table {table}"), message)
    };
    let opening = Chain::ALL.into_iter().filter(|chain| chain.opens());
    match transaction(socket, &opening.map(empty).collect::<Vec<_>>()) {
        Err(Error::Kernel { errno: Errno::NOENT, .. }) => Ok(()),
        closed => closed,
    }
}

/// Carries out requests in as many transactions as they take. If one fails, those before it stay.
fn transactions(socket: &Socket, requests: &[Request]) -> Result<(), Error> {
    let mut rest = requests;
    while !rest.is_empty() {
        let mut length = 0;
        let fits = rest.iter().take_while(|request| {
            length += request.message.clone().finish(0).len();
            length <= BATCH_MAX
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        transaction(socket, now)?;
        rest = later;
    }
    Ok(())
}

/// Makes a table of one rule and its chain, in the network namespace that the socket is of. It goes with the namespace.
pub(crate) fn lead(socket: &Socket, table: &str, rule: &Rule) -> Result<(), Error> {
    let message = Message::new(NEW_TABLE, CREATE | EXCLUSIVE, &header(INET)).text(1, table);
    let made = Request::new(format!("make nf_tables table {table}"), message);
    transaction(socket, &[made, new_chain(table, rule.chain), new_rule(table, rule)])
}

fn new_chain(table: &str, chain: Chain) -> Request {
    let name = chain.name();
    let mut message = Message::new(NEW_CHAIN, CREATE, &header(INET)).text(1, table).text(3, name);
    if let Some(hook) = chain.hook() {
        message = message
            .nest(4, |message| {
                message.big_endian(1, hook.number).big_endian(2, hook.priority.cast_unsigned())
            })
            .text(7, hook.kind);
    }
    Request::new(format!("make chain {name} of nf_tables table {table}"), message)
}

fn new_rule(table: &str, rule: &Rule) -> Request {
    let message = Message::new(NEW_RULE, CREATE | APPEND, &header(INET))
        .text(1, table)
        .text(2, rule.chain.name())
        .nest(4, |message| rule.parts.iter().fold(message, encode::part));
    Request::new(format!("make nf_tables rule \"{rule}\""), message)
}

/// Carries out requests as a whole, or none of them.
pub(crate) fn transaction(socket: &Socket, requests: &[Request]) -> Result<(), Error> {
    // Which subsystem is meant is in the big-endian half of the header.
    let edge = |kind, sequence| Message::new(kind, 0, &[0, 0, 0, 10]).finish(sequence);
    let mut bytes = edge(BATCH_BEGIN, 0);
    debug_assert_eq!(bytes.len(), EDGE);
    let last = requests.len().saturating_sub(1);
    for (index, request) in requests.iter().enumerate() {
        // One acknowledgement is enough: hundreds would not fit into the socket's buffer. Errors come in any case.
        let flags = if index == last { ACKNOWLEDGE } else { 0 };
        bytes.extend(request.message.clone().with_flags(flags).finish(sequence(index)));
    }
    bytes.extend(edge(BATCH_END, sequence(requests.len())));
    let mut failed = None;
    let mut done = false;
    let answered = socket.send(&bytes).and_then(|()| {
        socket.receive(|answer| match answer {
            Answer::Done { sequence, result: Err(errno) } => failed = failed.or(Some((sequence, errno))),
            Answer::Done { result: Ok(()), .. } => done = true,
            Answer::Object(_) => {}
        })
    });
    let first = requests.first().expect("a transaction has requests");
    answered.map_err(|errno| first.failed(errno))?;
    match failed {
        Some((sequence, errno)) => {
            // An error of the message that begins the transaction means that the kernel takes none.
            let Some(index) = sequence.checked_sub(1) else { return Err(Error::NoTables { errno }) };
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            Err(requests.get(index).unwrap_or(first).failed(errno))
        }
        None if done => Ok(()),
        None => Err(first.failed(Errno::PROTO)),
    }
}

fn sequence(index: usize) -> u32 {
    u32::try_from(index + 1).expect("a transaction is short")
}

/// Returns a comment as nft(8) shows it: a kind, 0, a length and text (libnftnl's `nftnl_udata`).
fn user_data(comment: &str) -> Vec<u8> {
    let text: Vec<u8> = comment.bytes().take(127).chain([0]).collect();
    let length = u8::try_from(text.len()).expect("it is at most 128");
    [&[0, length][..], &text].concat()
}
