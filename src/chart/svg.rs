//! A picture as SVG text. The same picture is the same bytes.

use super::{Colour, Picture, Place, Shape, Side};
use std::fmt::Write as _;

/// The picture as an SVG document.
#[must_use]
pub fn write(picture: &Picture) -> String {
    let (width, height) = (number(picture.width), number(picture.height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"'Noto Sans Mono', 'DejaVu Sans Mono', monospace\" font-size=\"12\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(&picture.title)
    );
    for shape in &picture.shapes {
        element(shape, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The picture as an element of a page: it takes the width that there is, and its colours may be changed by the page.
/// `id` is one of its own in the page; the description is for those who do not see the picture.
#[must_use]
pub fn inline(picture: &Picture, id: &str, description: &str) -> String {
    let (width, height) = (number(picture.width), number(picture.height));
    let (title, description) = (escaped(&picture.title), escaped(description));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" font-size=\"12\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n"
    );
    for shape in &picture.shapes {
        element(shape, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn element(shape: &Shape, svg: &mut String) {
    // Writing to a string cannot fail.
    let _ = match shape {
        Shape::Line { places, colour, width, dashes } => {
            let dashes = if dashes.is_empty() {
                String::new()
            } else {
                let lengths: Vec<String> = dashes.iter().map(|length| number(*length)).collect();
                format!(" stroke-dasharray=\"{}\"", lengths.join(" "))
            };
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{dashes}/>",
                points(places),
                hex(*colour),
                number(*width)
            )
        }
        Shape::Area { places, colour } => writeln!(
            svg,
            "<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"0.15\"/>",
            points(places),
            hex(*colour)
        ),
        Shape::Dot { at: (x, y), radius, colour } => writeln!(
            svg,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            number(*x),
            number(*y),
            number(*radius),
            hex(*colour)
        ),
        Shape::Text { at: (x, y), text, side, colour } => {
            let anchor = match side {
                Side::Left => "",
                Side::Middle => " text-anchor=\"middle\"",
                Side::Right => " text-anchor=\"end\"",
            };
            let (x, y, fill) = (number(*x), number(*y), hex(*colour));
            let text = escaped(text);
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\"{anchor} fill=\"{fill}\">{text}</text>")
        }
    };
}

fn points(places: &[Place]) -> String {
    let pairs: Vec<String> =
        places.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
    pairs.join(" ")
}

/// A hundredth of a unit is less than an eye sees.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A text as it stands in XML and HTML, between tags or in double quotes. Characters that XML cannot hold become spaces.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_markup() {
        assert_eq!(escaped("a<b> & \"c\"\n"), "a&lt;b&gt; &amp; &quot;c&quot; ");
    }
}
