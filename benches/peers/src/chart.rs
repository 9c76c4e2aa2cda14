//! A bar chart as SVG.

use std::fmt::Write;

const ROW: usize = 26;
const LABEL: usize = 210;
const WIDTH: usize = 760;
const TOP: usize = 44;

/// A bar.
pub struct Bar {
    pub label: String,
    pub value: f64,
    /// Drawn in the colour of what this is about.
    pub ours: bool,
}

/// Horizontal bars from the shortest to the longest; shorter is better.
pub fn draw(title: &str, unit: &str, mut bars: Vec<Bar>) -> String {
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let longest = bars.last().map_or(1.0, |bar| bar.value).max(f64::MIN_POSITIVE);
    let height = TOP + bars.len() * ROW + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"15\" font-weight=\"bold\" fill=\"#222\">{}</text>\n\
         <text x=\"10\" y=\"35\" fill=\"#666\">{}; shorter is better</text>\n",
        escaped(title),
        escaped(unit)
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + row * ROW;
        let length = (bar.value / longest * (WIDTH - LABEL - 80) as f64).max(1.0);
        let colour = if bar.ours { "#c2410c" } else { "#94a3b8" };
        let decimals = if bar.value < 100.0 { 1 } else { 0 };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#222\">{}</text>\
             <rect x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#222\">{:.decimals$}</text>",
            LABEL - 8,
            y + 14,
            escaped(&bar.label),
            LABEL as f64 + length + 6.0,
            y + 14,
            bar.value
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_bar_comes_first_and_text_is_escaped() {
        let bar = |label: &str, value| Bar { label: label.into(), value, ours: false };
        let svg = draw("a < b", "µs", vec![bar("slow", 20.0), bar("fast & good", 10.0)]);
        assert!(svg.contains("a &lt; b") && svg.find("fast &amp; good").unwrap() < svg.find("slow").unwrap());
        assert!(svg.contains("width=\"470.0\"") && svg.contains("width=\"235.0\""));
    }
}
