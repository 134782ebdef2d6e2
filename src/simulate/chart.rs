//! The learning curves as plain shapes: scales, ticks, colours, legend. `svg` and `raster` draw the same picture.

use super::summary::{StrategySummary, Summary};

/// The width of every picture, in units of the SVG; a PNG has two pixels a unit.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 48.0;
/// Below the plot: tick labels and the axis' name.
const BOTTOM: f64 = 56.0;
/// A letter of the fixed-width font, and a line of it.
const LETTER: f64 = 7.0;
const LINE: f64 = 20.0;
/// A longer strategy text is cut in the legend.
const LEGEND_LETTERS_MAX: usize = 32;
/// The legend's sample of a line.
const SAMPLE: f64 = 36.0;

const BLACK: Colour = Colour(0, 0, 0);
const GREY: Colour = Colour(110, 110, 110);
const LIGHT: Colour = Colour(225, 225, 225);

/// Okabe and Ito's colours without the yellow, which is lost on white: people who confuse some colours still tell these apart.
const COLOURS: [Colour; 7] = [
    BLACK,
    Colour(0, 114, 178),
    Colour(213, 94, 0),
    Colour(0, 158, 115),
    Colour(204, 121, 167),
    Colour(230, 159, 0),
    Colour(86, 180, 233),
];
/// Seven colours and four patterns have no common divisor, so 28 strategies look different.
const DASHES: [&[f64]; 4] = [&[], &[9.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// A place, from the upper left corner.
pub(super) type Place = (f64, f64);

/// What a picture is made of, in the order in which it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Lines from place to place; dashes are lengths drawn and skipped, none for a solid line.
    Line { places: Vec<Place>, colour: Colour, width: f64, dashes: &'static [f64] },
    /// A filled area with little of its colour's strength.
    Area { places: Vec<Place>, colour: Colour },
    /// A filled circle.
    Dot { at: Place, radius: f64, colour: Colour },
    /// Text whose base line is at a place.
    Text { at: Place, text: String, side: Side, colour: Colour },
}

/// Which part of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// A picture on white.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

/// Draws mean curves with bands of one standard error, the target and a legend.
pub(super) fn draw(summary: &Summary) -> Picture {
    let names: Vec<String> =
        summary.strategies.iter().map(|one| shortened(&one.strategy)).collect();
    let letters = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let legend = SAMPLE + 16.0 + letters as f64 * LETTER;
    let height = HEIGHT.max(TOP + BOTTOM + names.len() as f64 * LINE);
    let plot = Plot {
        left: LEFT,
        right: WIDTH - legend - 20.0,
        top: TOP,
        bottom: height - BOTTOM,
        labels: Scale::around(places(summary).map(|(labels, _)| labels)),
        value: Scale::around(places(summary).map(|(_, value)| value)),
        is_share: summary.metric.most().is_some(),
    };
    let title = title(summary);
    let mut shapes = vec![text((LEFT, 26.0), title.clone(), Side::Left, BLACK)];
    plot.axes(&mut shapes);
    plot.target(summary.target, &mut shapes);
    for (index, one) in summary.strategies.iter().enumerate() {
        plot.band(one, colour(index), &mut shapes);
    }
    for (index, one) in summary.strategies.iter().enumerate() {
        plot.curve(one, index, &mut shapes);
    }
    for (index, name) in names.into_iter().enumerate() {
        let (x, y) = (plot.right + 16.0, TOP + 8.0 + index as f64 * LINE);
        shapes.push(line(vec![(x, y), (x + SAMPLE, y)], index));
        shapes.push(text((x + SAMPLE + 8.0, y + 4.0), name, Side::Left, BLACK));
    }
    Picture { width: WIDTH, height, title, shapes }
}

fn title(summary: &Summary) -> String {
    match summary.seeds.len() {
        1 => format!("{}: {} on the test split, one seed", summary.workflow, summary.metric),
        seeds => format!(
            "{}: {} on the test split, mean of {seeds} seeds, bands of one standard error",
            summary.workflow, summary.metric
        ),
    }
}

/// Every place of every curve and of its band's edges.
fn places(summary: &Summary) -> impl Iterator<Item = Place> {
    summary.strategies.iter().flat_map(|one| &one.curve).flat_map(|point| {
        let error = point.value.standard_error.unwrap_or(0.0);
        [-error, error].map(|error| (point.labels as f64, point.value.mean + error))
    })
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LEGEND_LETTERS_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LEGEND_LETTERS_MAX - 3).collect();
    kept + "..."
}

fn colour(index: usize) -> Colour {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or(BLACK)
}

fn line(places: Vec<Place>, index: usize) -> Shape {
    let dashes = DASHES.get(index % DASHES.len()).copied().unwrap_or_default();
    Shape::Line { places, colour: colour(index), width: 2.0, dashes }
}

const fn thin(from: Place, to: Place, colour: Colour) -> (Place, Place, Colour) {
    (from, to, colour)
}

const fn text(at: Place, text: String, side: Side, colour: Colour) -> Shape {
    Shape::Text { at, text, side, colour }
}

/// The rectangle of the curves, and what its edges mean.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    labels: Scale,
    value: Scale,
    is_share: bool,
}

impl Plot {
    fn x(&self, labels: f64) -> f64 {
        self.left + self.labels.share(labels) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.value.share(value) * (self.bottom - self.top)
    }

    /// A value: a share in percent, any other number as it is.
    fn shown(&self, value: f64) -> String {
        if self.is_share { format!("{} %", number(100.0 * value)) } else { number(value) }
    }

    fn axes(&self, shapes: &mut Vec<Shape>) {
        let mut lines = Vec::new();
        for tick in self.value.ticks() {
            let y = self.y(tick);
            lines.push(thin((self.left, y), (self.right, y), LIGHT));
            shapes.push(text((self.left - 8.0, y + 4.0), self.shown(tick), Side::Right, BLACK));
        }
        for tick in self.labels.ticks() {
            let x = self.x(tick);
            lines.push(thin((x, self.bottom), (x, self.bottom + 5.0), BLACK));
            shapes.push(text((x, self.bottom + 20.0), number(tick), Side::Middle, BLACK));
        }
        lines.push(thin((self.left, self.bottom), (self.right, self.bottom), BLACK));
        lines.push(thin((self.left, self.top), (self.left, self.bottom), BLACK));
        let middle = (self.left + self.right) / 2.0;
        let name = "labels bought".to_owned();
        shapes.push(text((middle, self.bottom + 42.0), name, Side::Middle, BLACK));
        shapes.extend(lines.into_iter().map(|(from, to, colour)| Shape::Line {
            places: vec![from, to],
            colour,
            width: 1.0,
            dashes: &[],
        }));
    }

    fn target(&self, target: f64, shapes: &mut Vec<Shape>) {
        let y = self.y(target);
        if !(self.top..=self.bottom).contains(&y) {
            return; // far from every curve
        }
        let places = vec![(self.left, y), (self.right, y)];
        shapes.push(Shape::Line { places, colour: GREY, width: 1.0, dashes: &[4.0, 4.0] });
        let name = format!("target {}", self.shown(target));
        shapes.push(text((self.left + 8.0, y - 6.0), name, Side::Left, GREY));
    }

    fn band(&self, one: &StrategySummary, colour: Colour, shapes: &mut Vec<Shape>) {
        let edge = |sign: f64| {
            one.curve.iter().filter_map(move |point| {
                let error = point.value.standard_error?;
                Some((self.x(point.labels as f64), self.y(point.value.mean + sign * error)))
            })
        };
        let upper: Vec<Place> = edge(1.0).collect();
        if upper.len() > 1 {
            let lower: Vec<Place> = edge(-1.0).collect();
            let places = upper.into_iter().chain(lower.into_iter().rev()).collect();
            shapes.push(Shape::Area { places, colour });
        }
    }

    fn curve(&self, one: &StrategySummary, index: usize, shapes: &mut Vec<Shape>) {
        let places: Vec<Place> = one
            .curve
            .iter()
            .map(|point| (self.x(point.labels as f64), self.y(point.value.mean)))
            .collect();
        match places.as_slice() {
            [] => {}
            [at] => shapes.push(Shape::Dot { at: *at, radius: 4.0, colour: colour(index) }),
            [_, _, ..] => shapes.push(line(places, index)),
        }
    }
}

/// An axis from one round number to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// About eight steps of 1, 2 or 5 times a power of ten, with all the values inside.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            return Self { low: 0.0, high: 1.0, step: 0.2 };
        }
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
        let mut power = 1e-9;
        while power * 50.0 < high - low {
            power *= 10.0;
        }
        let wide = |step: &f64| *step * 8.0 >= high - low;
        let step = [1.0, 2.0, 5.0]
            .map(|times| times * power)
            .into_iter()
            .find(wide)
            .unwrap_or(10.0 * power);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let Self { low, high, step } = *self;
        (0..=20_u32)
            .map(move |n| low + f64::from(n) * step)
            .take_while(move |tick| *tick < high + step / 2.0)
    }
}

/// A number as a tick shows it: without the noise of its last bits.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_ends_around_the_values() {
        let scale = Scale::around([20.0, 250.0].into_iter());
        assert_eq!(scale, Scale { low: 0.0, high: 250.0, step: 50.0 });
        let ticks: Vec<String> = scale.ticks().map(number).collect();
        assert_eq!(ticks, ["0", "50", "100", "150", "200", "250"]);
        let ticks: Vec<String> =
            Scale::around([0.613, 0.941].into_iter()).ticks().map(number).collect();
        assert_eq!(
            (ticks.first().unwrap().as_str(), ticks.last().unwrap().as_str()),
            ("0.6", "0.95")
        );
    }

    #[test]
    fn an_axis_without_values_or_with_one_has_some_width() {
        for values in [&[][..], &[0.5], &[f64::NAN, 3.0]] {
            let scale = Scale::around(values.iter().copied());
            assert!(scale.high > scale.low && scale.ticks().count() >= 2, "{scale:?}");
        }
    }

    #[test]
    fn twenty_eight_strategies_look_different() {
        let looks: Vec<Shape> = (0..28).map(|index| line(vec![], index)).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "{index}");
        }
    }
}
