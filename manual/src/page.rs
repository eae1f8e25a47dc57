// SPDX-License-Identifier: Apache-2.0
//! A document as a man page (man(7)): headings, paragraphs, lists, tables and code, as the repository's documents have
//! them. A pure function.

/// Returns the page of a document.
pub(crate) fn of_document(name: &str, section: u8, title: &str, text: &str) -> String {
    let mut page = format!(
        ".TH {} {section} \"\" \"Gantry {}\"\n.SH NAME\n{} \\- {}\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escape(name),
        escape(title)
    );
    let (mut code, mut gap) = (false, true);
    for line in text.lines() {
        if line.starts_with("```") {
            page += if code { ".EE\n.RE\n" } else { ".PP\n.RS\n.EX\n" };
            code = !code;
            continue;
        }
        if code {
            page += &(guarded(&escape(line)) + "\n");
            continue;
        }
        if line.trim().is_empty() {
            gap = true;
            continue;
        }
        page += &block(line, gap);
        gap = false;
    }
    page
}

/// Returns a line of text; `gap` if an empty line stands before it.
fn block(line: &str, gap: bool) -> String {
    if let Some(heading) = line.strip_prefix("# ") {
        return format!(".SH DESCRIPTION\n.PP\n{}.\n", inline(heading));
    }
    if let Some(heading) = line.strip_prefix("## ") {
        return format!(".SH {}\n", inline(heading).to_uppercase());
    }
    if let Some(heading) = line.strip_prefix("### ") {
        return format!(".SS {}\n", inline(heading));
    }
    if let Some(item) = line.strip_prefix("- ") {
        return format!(".IP \\(bu 2\n{}\n", guarded(&inline(item)));
    }
    if line.starts_with('|') {
        return row(line);
    }
    let paragraph = if gap { ".PP\n" } else { "" };
    format!("{paragraph}{}\n", guarded(&inline(line.trim())))
}

/// Returns a table's row: the first cell as a tag, the others as its text.
fn row(line: &str) -> String {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| inline(cell.trim())).collect();
    let is_rule = cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | '\\')));
    match cells.split_first() {
        Some((first, rest)) if !is_rule => {
            let rest: Vec<_> = rest.iter().filter(|cell| !cell.is_empty()).cloned().collect();
            format!(".TP\n{}\n{}\n", guarded(first), guarded(&rest.join("; ")))
        }
        _ => String::new(),
    }
}

/// Returns text with bold words for code, and links without their places.
fn inline(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '[']) {
        shown += &escape(&rest[..start]);
        let after = &rest[start + 1..];
        let is_code = rest[start..].starts_with('`');
        let end = if is_code { after.find('`') } else { after.find("](") };
        let Some(end) = end else {
            shown += &escape(&rest[start..]);
            return shown;
        };
        if is_code {
            shown += &format!("\\fB{}\\fR", escape(&after[..end]));
            rest = &after[end + 1..];
        } else {
            shown += &inline(&after[..end]);
            rest = after[end..].split_once(')').map_or("", |(_, rest)| rest);
        }
    }
    shown + &escape(&rest.replace("**", ""))
}

/// Escapes what means something to roff.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace('→', "->")
}

/// Keeps a line from being a request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_page() {
        let text = "# Things\n\nA `b-c` and [a link](x.md).\n.dot\n\n## Part\n\n| a | b |\n|---|---|\n| `x` | y |\n\n\
                    - one\n\n```sh\nrun -x\n```\n";
        let page = of_document("gantry-x", 5, "things", text);
        let (_, body) = page.split_once(".SH DESCRIPTION\n").unwrap();
        assert_eq!(
            body,
            ".PP\nThings.\n.PP\nA \\fBb\\-c\\fR and a link.\n\\&.dot\n.SH PART\n.TP\na\nb\n.TP\n\\fBx\\fR\ny\n\
             .IP \\(bu 2\none\n.PP\n.RS\n.EX\nrun \\-x\n.EE\n.RE\n"
        );
    }
}
