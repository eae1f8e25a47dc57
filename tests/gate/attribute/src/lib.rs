// SPDX-License-Identifier: Apache-2.0
//! Writes the gate into a test, so that no test repeats it, nor its own name: see `gate`, which is what tests use.
//!
//! On the compiler's own tokens: a function's name and its body are all that is looked for, which takes no parser.

use proc_macro::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Makes a function a test that needs root.
#[proc_macro_attribute]
pub fn root_test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    gated("has_root", function)
}

/// Makes a function a test that boots a virtual machine.
#[proc_macro_attribute]
pub fn vm_test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    gated("has_machine", function)
}

/// Makes a function a test that returns at once unless `gate::GATE` lets it run.
fn gated(gate: &str, function: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = function.into_iter().collect();
    let (Some(name), Some(TokenTree::Group(body))) = (name(&tokens), tokens.pop()) else {
        return tokens_of("compile_error!(\"expected a function\");");
    };
    let test = format!("concat!(module_path!(), \"::{name}\")");
    let mut gated = tokens_of(&format!("if !::gate::{gate}({test}) {{ return; }}"));
    gated.extend(body.stream());
    let mut whole = Group::new(Delimiter::Brace, gated);
    whole.set_span(body.span());
    let mut all = tokens_of("#[test]");
    all.extend(tokens);
    all.extend([TokenTree::Group(whole)]);
    all
}

/// Returns the identifier after `fn`.
fn name(tokens: &[TokenTree]) -> Option<Ident> {
    tokens.windows(2).find_map(|pair| match pair {
        [TokenTree::Ident(word), TokenTree::Ident(name)] if word.to_string() == "fn" => Some(name.clone()),
        _ => None,
    })
}

fn tokens_of(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
