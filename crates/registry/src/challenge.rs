// SPDX-License-Identifier: Apache-2.0
//! Challenges: what `WWW-Authenticate` asks for (RFC 9110, section 11.6.1).
//!
//! One header may have several challenges, and both challenges and their parameters are separated by commas; a quoted
//! value may have commas of its own, as the scopes of tokens do.

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `bearer`, `basic` or another one.
    pub scheme: String,
    /// Parameters, their names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns a parameter, the first one of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Parses one `WWW-Authenticate` header. Parsing stops at the first part that can't be understood; challenges before it
/// are kept.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = Rest(header);
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        rest.skip_separators();
        let Some(word) = rest.token() else { return challenges };
        let parameter = rest.equals().then(|| rest.value());
        match (parameter, challenges.last_mut()) {
            (Some(Some(value)), Some(last)) => last.parameters.push((word.to_ascii_lowercase(), value)),
            (Some(_), _) => return challenges,
            (None, _) => {
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                rest.skip_token68();
            }
        }
    }
}

/// The rest of a header that isn't read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    /// Takes a token: a scheme, or a parameter's name or value.
    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Takes the `=` of a parameter, with blanks around it.
    fn equals(&mut self) -> bool {
        let before = self.0;
        self.skip_blanks();
        let Some(rest) = self.0.strip_prefix('=') else {
            self.0 = before;
            return false;
        };
        self.0 = rest;
        self.skip_blanks();
        true
    }

    /// Takes a parameter's value, a token or a quoted string.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(ToOwned::to_owned) };
        let mut value = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                c => value.push(c),
            }
        }
        self.0 = characters.as_str();
        Some(value)
    }

    /// Skips credentials in one word, which may follow a scheme in place of parameters. It may end with `=`.
    fn skip_token68(&mut self) {
        let before = self.0;
        self.skip_blanks();
        let is_68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let rest = self.0.trim_start_matches(is_68).trim_start_matches('=');
        let ends = rest.trim_start_matches([' ', '\t']);
        let is_whole = ends.is_empty() || ends.starts_with(',');
        self.0 = if is_whole { rest } else { before };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> Vec<String> {
        let one = |challenge: &Challenge| {
            let all = challenge.parameters.iter().map(|(name, value)| format!("{name}=<{value}>"));
            let all: Vec<_> = [challenge.scheme.clone()].into_iter().chain(all).collect();
            all.join(" ")
        };
        parse(header).iter().map(one).collect()
    }

    #[test]
    fn headers_are_read_as_registries_write_them() {
        let cases: [(&str, &[&str]); 13] = [
            ("", &[]),
            ("Basic realm=\"Registry\"", &["basic realm=<Registry>"]),
            (
                "Bearer realm=\"https://a.b/token\",service=\"a.b\",scope=\"repository:x/y:pull,push\"",
                &["bearer realm=<https://a.b/token> service=<a.b> scope=<repository:x/y:pull,push>"],
            ),
            ("bearer realm=x , error=\"invalid_token\"", &["bearer realm=<x> error=<invalid_token>"]),
            ("Basic realm=\"a\", Bearer realm=\"b\"", &["basic realm=<a>", "bearer realm=<b>"]),
            ("Negotiate, Basic realm=\"a\"", &["negotiate", "basic realm=<a>"]),
            ("Negotiate YWJj==, Basic realm=\"a\"", &["negotiate", "basic realm=<a>"]),
            ("Negotiate YWJj", &["negotiate"]),
            ("Bearer REALM = \"a\\\"b\\\\\"", &["bearer realm=<a\"b\\>"]),
            (",, Bearer realm=a,,", &["bearer realm=<a>"]),
            ("Bearer realm=\"open", &["bearer"]),
            ("realm=\"a\"", &[]),
            ("Bearer realm=\"a\" \u{1b}", &["bearer realm=<a>"]),
        ];
        for (header, expected) in cases {
            assert_eq!(shown(header), expected, "{header}");
        }
    }

    #[test]
    fn the_first_of_two_parameters_counts() {
        assert_eq!(parse("Bearer realm=a, realm=b")[0].get("realm"), Some("a"));
    }
}
