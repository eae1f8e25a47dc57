// SPDX-License-Identifier: Apache-2.0
//! Finds other programs' tables that drop forwarded packets: those of docker, ufw, firewalld or the administrator.
//!
//! A packet has to pass all chains of a hook, so none of Gantry's rules can let through what another table drops. Nor
//! does it change tables of others: it says which rule would help.

use std::fmt;

use super::rules::VETHS;
use super::{INET, SUBSYSTEM, V4, V6, header};
use crate::error::Error;
use crate::netlink::answer::{attribute, attributes, big_endian, text};
use crate::netlink::message::{DUMP, Message};
use crate::netlink::socket::{Request, Socket};

/// `NFT_MSG_*`.
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;
/// `NF_INET_FORWARD`, `NF_DROP`.
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// The length of the family's header.
const HEADER: usize = 4;

/// A chain of another table that drops what it does not accept, and says nothing of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropsForwarded {
    family: u8,
    table: String,
    chain: String,
}

impl fmt::Display for DropsForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, chain } = self;
        let family = match *family {
            V4 => "ip",
            V6 => "ip6",
            _ => "inet",
        };
        let name = format!("{family} {table} {chain}");
        let rule = |direction| format!("nft insert rule {name} {direction} \"{VETHS}*\" accept");
        let (input, output) = (rule("iifname"), rule("oifname"));
        write!(
            f,
            "nf_tables chain {name} drops what is forwarded to and from the pod: expected rules as by {input} and {output}"
        )
    }
}

/// Finds all chains that drop what pods send and receive.
///
/// The socket is the one that owns the pod's table. The kernel takes milliseconds to close one, so it is the only one.
pub(crate) fn find(socket: &Socket) -> Result<Vec<DropsForwarded>, Error> {
    let request = Request::new("list the chains of nf_tables", Message::new(GET_CHAIN, DUMP, &header(0)));
    let mut found = Vec::new();
    for object in socket.ask(&request)? {
        let Some((chain, drops)) = forwards(&object) else { continue };
        let rules = rules_of(socket, &chain)?;
        let drops = drops || rules.iter().any(|rule| drops_all(rule));
        if drops && !rules.iter().any(|rule| mentions_pods(rule)) {
            found.push(chain);
        }
    }
    Ok(found)
}

/// Reads a chain that is called for forwarded packets, and whether its policy is to drop.
fn forwards(object: &[u8]) -> Option<(DropsForwarded, bool)> {
    let (family, body) = (*object.first()?, object.get(HEADER..)?);
    if ![INET, V4, V6].contains(&family) {
        return None;
    }
    let hook = attribute(attribute(body, 4)?, 1).and_then(big_endian)?;
    let policy = attribute(body, 5).and_then(big_endian);
    let (table, chain) = (text(attribute(body, 1)?), text(attribute(body, 3)?));
    // Pods' own tables are for their own veths alone.
    let is_ours = table.starts_with(VETHS);
    (hook == FORWARD && !is_ours).then(|| (DropsForwarded { family, table, chain }, policy == Some(DROP)))
}

fn rules_of(socket: &Socket, chain: &DropsForwarded) -> Result<Vec<Vec<u8>>, Error> {
    let DropsForwarded { family, table, chain } = chain;
    let message = Message::new(GET_RULE, DUMP, &header(*family)).text(1, table).text(2, chain);
    let objects = socket.ask(&Request::new(format!("list the rules of {table} {chain}"), message))?;
    // Older kernels answer with all rules.
    let is_of_chain = |object: &Vec<u8>| {
        let body = object.get(HEADER..).unwrap_or_default();
        attribute(body, 1).map(text).as_ref() == Some(table)
            && attribute(body, 2).map(text).as_ref() == Some(chain)
    };
    Ok(objects.into_iter().filter(is_of_chain).collect())
}

/// Tells whether a rule is about links of pods.
fn mentions_pods(rule: &[u8]) -> bool {
    rule.windows(VETHS.len()).any(|window| window == VETHS.as_bytes())
}

/// Tells whether a rule drops or refuses all packets, as firewalld's last one does.
fn drops_all(rule: &[u8]) -> bool {
    let Some(expressions) = rule.get(HEADER..).and_then(|body| attribute(body, 4)) else { return false };
    let mut ends = false;
    for (_, expression) in attributes(expressions) {
        let data = attribute(expression, 2).unwrap_or_default();
        match attribute(expression, 1).map(text).as_deref() {
            Some("counter" | "log") => {}
            Some("reject") => ends = true,
            // NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE.
            Some("immediate") => {
                let verdict = attribute(data, 2).and_then(|data| attribute(data, 2));
                let code = verdict.and_then(|verdict| attribute(verdict, 1)).and_then(big_endian);
                if code != Some(DROP) {
                    return false;
                }
                ends = true;
            }
            _ => return false,
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: u8, table: &str, hook: u32, policy: u32) -> Vec<u8> {
        let message = Message::new(0, 0, &header(family))
            .text(1, table)
            .text(3, "FORWARD")
            .nest(4, |message| message.big_endian(1, hook).big_endian(2, 0))
            .big_endian(5, policy);
        message.finish(0)[16..].to_vec()
    }

    fn rule(parts: &[super::super::rules::Part]) -> Vec<u8> {
        let message = Message::new(0, 0, &header(INET))
            .text(1, "t")
            .text(2, "c")
            .nest(4, |message| parts.iter().fold(message, super::super::encode::part));
        message.finish(0)[16..].to_vec()
    }

    #[test]
    fn chains_that_forward_are_found_by_hook_and_policy() {
        let (found, drops) = forwards(&chain(V4, "filter", FORWARD, DROP)).unwrap();
        assert!(drops);
        let expected = "nf_tables chain ip filter FORWARD drops what is forwarded to and from the pod: expected rules \
                        as by nft insert rule ip filter FORWARD iifname \"gantry*\" accept and nft insert rule ip \
                        filter FORWARD oifname \"gantry*\" accept";
        assert_eq!(found.to_string(), expected);
        assert!(!forwards(&chain(INET, "t", FORWARD, 1)).unwrap().1);
        for other in
            [chain(V4, "filter", 1, DROP), chain(INET, "gantry7", FORWARD, DROP), chain(7, "t", FORWARD, 0)]
        {
            assert_eq!(forwards(&other), None);
        }
    }

    #[test]
    fn a_rule_that_drops_everything_is_told_from_one_with_a_condition() {
        use super::super::rules::Part;
        assert!(drops_all(&rule(&[Part::Drop])));
        assert!(!drops_all(&rule(&[Part::Ipv6, Part::Drop])));
        assert!(!drops_all(&rule(&[Part::Accept])));
        assert!(!drops_all(&rule(&[])));
        assert!(mentions_pods(&rule(&[Part::ToOtherThan(VETHS), Part::Accept])));
        assert!(!mentions_pods(&rule(&[Part::To("eth0".into()), Part::Accept])));
    }
}
