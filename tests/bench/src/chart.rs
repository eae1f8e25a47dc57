// SPDX-License-Identifier: Apache-2.0
//! Results as a chart: bars, the shorter the better, in panels with scales of their own. Written by hand, since it has
//! only bars and labels (SVG 1.1, sections 9.2 and 10.4).

use std::fmt::Write as _;

use crate::compare::{OURS, Row};
use crate::goals::median;
use crate::unit::seconds;

const WIDTH: f64 = 900.0;
const LABEL: f64 = 270.0;
const BAR: f64 = 520.0;
const LINE: f64 = 24.0;
const HEAD: f64 = 44.0;

/// Bars that can be compared.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    pub(crate) rows: Vec<&'a Row>,
}

/// Draws the whole picture. A contender that can't run has no bar.
pub(crate) fn draw(panels: &[Panel<'_>]) -> String {
    let mut body = String::new();
    let mut y = 12.0;
    for panel in panels {
        y = draw_panel(&mut body, panel, y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" viewBox=\"0 0 {WIDTH} {y}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Draws a panel, and returns where the next one begins.
fn draw_panel(body: &mut String, panel: &Panel<'_>, top: f64) -> f64 {
    let bars: Vec<_> = panel.rows.iter().filter_map(|row| Some((row, median(row).ok()?))).collect();
    let longest = bars.iter().map(|(_, time)| *time).fold(f64::MIN_POSITIVE, f64::max);
    text(body, 20.0, top + 24.0, "font-weight=\"bold\" font-size=\"16\"", &panel.title);
    let mut y = top + HEAD;
    for (row, time) in bars {
        // Even a short bar is visible.
        let width = (time / longest * BAR).max(1.0);
        let colour = if row.name.starts_with(OURS) { "#1b6ca8" } else { "#a9b4bd" };
        text(body, LABEL, y + 15.0, "text-anchor=\"end\"", &row.name);
        let _ = writeln!(
            body,
            "<rect x=\"{}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>",
            LABEL + 10.0,
            LINE - 5.0
        );
        text(body, LABEL + 18.0 + width, y + 15.0, "", &seconds(time));
        y += LINE;
    }
    y + 12.0
}

fn text(body: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    // Cannot fail: the writer is a string.
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}
