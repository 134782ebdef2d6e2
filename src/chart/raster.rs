//! A picture as PNG: two pixels a unit, smooth edges, and a font that comes with the program. The same picture is the same
//! pixels on every machine.

use super::{Colour, Picture, Place, Shape, Side};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use png::{BitDepth, ColorType, Encoder, EncodingError};

/// Pixels a unit.
const SCALE: f64 = 2.0;
/// An area has this part of its colour's strength.
const AREA: f64 = 0.15;
/// Heights at which an area's edges are looked at within one row of pixels.
const ROW_SAMPLES: u32 = 4;
/// A text of the SVG's 12 units.
const LETTERS: RasterHeight = RasterHeight::Size24;
/// From the top of a letter's box to its base line, in pixels.
const BASE_LINE: f64 = 18.0;

/// The picture as a PNG file.
///
/// # Errors
/// Only a picture of impossible size.
pub fn write(picture: &Picture) -> Result<Vec<u8>, EncodingError> {
    let mut canvas = Canvas::new(picture);
    for shape in &picture.shapes {
        canvas.draw(shape);
    }
    let mut bytes = Vec::new();
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut encoder = Encoder::new(&mut bytes, side(canvas.width), side(canvas.height()));
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

struct Canvas {
    width: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(picture: &Picture) -> Self {
        let width = pixel(picture.width * SCALE);
        Self { width, pixels: vec![255; width * pixel(picture.height * SCALE) * 3] }
    }

    fn height(&self) -> usize {
        self.pixels.len() / (3 * self.width.max(1))
    }

    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { places, colour, width, dashes } => {
                self.line(&scaled(places), *colour, width * SCALE / 2.0, dashes);
            }
            Shape::Area { places, colour } => self.area(&scaled(places), *colour),
            Shape::Dot { at: (x, y), radius, colour } => {
                let at = (x * SCALE, y * SCALE);
                self.strokes(&[(at, at)], *colour, radius * SCALE);
            }
            Shape::Text { at: (x, y), text, side, colour } => {
                self.text((x * SCALE, y * SCALE), text, *side, *colour);
            }
        }
    }

    /// Mixes `colour` into a pixel with a strength from 0 to 1.
    fn mix(&mut self, x: usize, y: usize, Colour(red, green, blue): Colour, strength: f64) {
        if x >= self.width {
            return;
        }
        for (place, colour) in [red, green, blue].into_iter().enumerate() {
            if let Some(value) = self.pixels.get_mut((y * self.width + x) * 3 + place) {
                let mixed = f64::from(*value) * (1.0 - strength) + f64::from(colour) * strength;
                *value = u8::try_from(pixel(mixed)).unwrap_or(u8::MAX);
            }
        }
    }

    fn line(&mut self, places: &[Place], colour: Colour, radius: f64, dashes: &[f64]) {
        let whole: Vec<(Place, Place)> =
            places.iter().zip(places.iter().skip(1)).map(|(from, to)| (*from, *to)).collect();
        let pieces = if dashes.is_empty() { whole } else { dashed(&whole, dashes) };
        self.strokes(&pieces, colour, radius);
    }

    /// Draws all pieces at once, so that a pixel which two of them share is not mixed twice.
    fn strokes(&mut self, pieces: &[(Place, Place)], colour: Colour, radius: f64) {
        let mut strengths = std::collections::BTreeMap::new();
        for &(from, to) in pieces {
            let reach = radius + 1.0;
            let (left, right) = (from.0.min(to.0) - reach, from.0.max(to.0) + reach);
            let (top, bottom) = (from.1.min(to.1) - reach, from.1.max(to.1) + reach);
            for y in pixel(top)..=pixel(bottom) {
                for x in pixel(left)..=pixel(right) {
                    let centre = (x as f64 + 0.5, y as f64 + 0.5);
                    let strength = (radius + 0.5 - distance(centre, from, to)).clamp(0.0, 1.0);
                    if strength > 0.0 {
                        let known = strengths.entry((y, x)).or_insert(0.0_f64);
                        *known = known.max(strength);
                    }
                }
            }
        }
        for ((y, x), strength) in strengths {
            self.mix(x, y, colour, strength);
        }
    }

    /// Fills by rows: at some heights within each row, what lies between the edges, pair by pair.
    fn area(&mut self, places: &[Place], colour: Colour) {
        let edges: Vec<(Place, Place)> = places
            .iter()
            .zip(places.iter().cycle().skip(1))
            .map(|(from, to)| (*from, *to))
            .collect();
        let top = places.iter().map(|place| place.1).fold(f64::INFINITY, f64::min);
        let bottom = places.iter().map(|place| place.1).fold(0.0, f64::max);
        let mut covered = vec![0.0; self.width];
        for y in pixel(top - 1.0)..self.height().min(pixel(bottom + 1.0)) {
            covered.fill(0.0);
            for sample in 0..ROW_SAMPLES {
                let height = y as f64 + (f64::from(sample) + 0.5) / f64::from(ROW_SAMPLES);
                let mut crossings: Vec<f64> = edges
                    .iter()
                    .filter(|(from, to)| (from.1 <= height) != (to.1 <= height))
                    .map(|(from, to)| {
                        from.0 + (height - from.1) / (to.1 - from.1) * (to.0 - from.0)
                    })
                    .collect();
                crossings.sort_by(f64::total_cmp);
                for pair in crossings.chunks_exact(2) {
                    if let [left, right] = *pair {
                        let cells = covered.iter_mut().enumerate();
                        for (x, cell) in cells.skip(pixel(left - 1.0)).take(pixel(right - left) + 3)
                        {
                            let x = x as f64;
                            *cell += (right.min(x + 1.0) - left.max(x)).max(0.0);
                        }
                    }
                }
            }
            for (x, cell) in covered.iter().enumerate().filter(|(_, cell)| **cell > 0.0) {
                self.mix(x, y, colour, AREA * (cell / f64::from(ROW_SAMPLES)).min(1.0));
            }
        }
    }

    fn text(&mut self, (x, y): Place, text: &str, side: Side, colour: Colour) {
        let letter = get_raster_width(FontWeight::Regular, LETTERS);
        let width = (letter * text.chars().count()) as f64;
        let left = match side {
            Side::Left => x,
            Side::Middle => x - width / 2.0,
            Side::Right => x - width,
        };
        let (left, top) = (pixel(left), pixel(y - BASE_LINE));
        for (place, c) in text.chars().enumerate() {
            let known = get_raster(c, FontWeight::Regular, LETTERS)
                .or_else(|| get_raster('?', FontWeight::Regular, LETTERS));
            let Some(drawn) = known else { continue };
            for (row, line) in drawn.raster().iter().enumerate() {
                for (column, strength) in line.iter().enumerate() {
                    let x = left + place * letter + column;
                    self.mix(x, top + row, colour, f64::from(*strength) / 255.0);
                }
            }
        }
    }
}

fn scaled(places: &[Place]) -> Vec<Place> {
    places.iter().map(|(x, y)| (x * SCALE, y * SCALE)).collect()
}

/// The nearest whole number; what is outside of every picture is its edge.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 0 and 100,000 when it is made whole"
)]
fn pixel(value: f64) -> usize {
    value.round().clamp(0.0, 100_000.0) as usize
}

/// From a point to the nearest point of a piece of line.
fn distance(point: Place, from: Place, to: Place) -> f64 {
    let (along, away) = ((to.0 - from.0, to.1 - from.1), (point.0 - from.0, point.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 {
        ((away.0 * along.0 + away.1 * along.1) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let off = (away.0 - share * along.0, away.1 - share * along.1);
    (off.0 * off.0 + off.1 * off.1).sqrt()
}

/// What a pattern of dashes leaves of a line; the pattern goes on around corners.
fn dashed(line: &[(Place, Place)], dashes: &[f64]) -> Vec<(Place, Place)> {
    let mut pieces = Vec::new();
    let mut pattern = dashes.iter().map(|length| length.max(0.5) * SCALE).cycle();
    let (mut left, mut drawn) = (pattern.next().unwrap_or(f64::INFINITY), true);
    for &(from, to) in line {
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        let length = (x * x + y * y).sqrt();
        let mut done = 0.0;
        while done < length {
            let step = left.min(length - done);
            if drawn {
                let at = |way: f64| (from.0 + way / length * x, from.1 + way / length * y);
                pieces.push((at(done), at(done + step)));
            }
            done += step;
            left -= step;
            if left <= 0.0 {
                left = pattern.next().unwrap_or(f64::INFINITY);
                drawn = !drawn;
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners_and_leave_gaps() {
        let corner = [((0.0, 0.0), (10.0, 0.0)), ((10.0, 0.0), (10.0, 10.0))];
        let pieces = dashed(&corner, &[3.0, 2.0]);
        assert_eq!(pieces, [((0.0, 0.0), (6.0, 0.0)), ((10.0, 0.0), (10.0, 6.0))]);
        let pieces = dashed(&corner[..1], &[4.0, 0.5]);
        assert_eq!(pieces, [((0.0, 0.0), (8.0, 0.0)), ((9.0, 0.0), (10.0, 0.0))]);
    }

    #[test]
    fn an_area_covers_its_inside_alone() {
        let shapes = vec![Shape::Area {
            places: vec![(1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (1.0, 3.0)],
            colour: Colour(0, 0, 0),
        }];
        let picture = Picture { width: 4.0, height: 4.0, title: String::new(), shapes };
        let mut canvas = Canvas::new(&picture);
        canvas.draw(&picture.shapes[0]);
        for (index, pixel) in canvas.pixels.chunks_exact(3).enumerate() {
            let (x, y) = (index % 8, index / 8);
            let inside = (2..6).contains(&x) && (2..6).contains(&y);
            assert_eq!(pixel[0], if inside { 217 } else { 255 }, "{x}, {y}");
        }
    }
}
