//! A plot of points in two measures, of both of which less is better. In SVG, with a
//! text that says the same for those who do not see it.

use std::fmt::Write as _;

use super::html::escaped;

/// As wide as a telephone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
/// Room for the numbers of both axes, for names, and for dots at the ends.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// A name is so high, and each of its letters about so wide.
const LINE: f64 = 14.0;
const LETTER: f64 = 7.4;
/// From a dot to its name.
const BESIDE: f64 = 9.0;
const DOT: f64 = 5.0;
/// So many lines up and down a place is looked for.
const MAX_LINES: i32 = 9;
/// Below so much, a measure is drawn as next to nothing.
const FINEST: f64 = 0.01;

pub(super) struct Dot {
    pub(super) name: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Nobody is better in both.
    pub(super) is_front: bool,
}

/// Both axes are logarithmic from [`FINEST`] on; where a value is smaller, they have a
/// place for 0. A dot without a name is told by its place alone.
pub(super) fn scatter(title: &str, [x, y]: [&str; 2], dots: &[Dot]) -> String {
    if dots.is_empty() {
        return format!(
            "<figure><figcaption>{}</figcaption><p>Nothing to draw.</p></figure>",
            escaped(title)
        );
    }
    let along = Axis::over(dots.iter().map(|dot| dot.x), LEFT, WIDTH - RIGHT);
    let up = Axis::over(dots.iter().map(|dot| dot.y), HEIGHT - BOTTOM, TOP);
    let mut drawn = grid(&along, &up, x);
    let places: Vec<[f64; 2]> = dots.iter().map(|dot| [along.at(dot.x), up.at(dot.y)]).collect();
    for ((dot, [cx, cy]), name) in dots.iter().zip(&places).zip(names(dots, &places)) {
        let class = if dot.is_front { "front" } else { "beaten" };
        let _ = write!(drawn, "<g class=\"{class}\">");
        if let Some(Name { x, y, is_left }) = name {
            let (end, anchor) =
                if is_left { (x + 2.0, " class=\"figure\"") } else { (x - 2.0, "") };
            // Which dot it belongs to, where it stands beside none.
            if (y - cy).abs() > 1.0 {
                let _ = write!(
                    drawn,
                    "<line class=\"leader\" x1=\"{cx:.1}\" y1=\"{cy:.1}\" x2=\"{end:.1}\" \
                     y2=\"{y:.1}\"/>"
                );
            }
            let _ = write!(
                drawn,
                "<text{anchor} x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                escaped(&dot.name)
            );
        }
        let _ = write!(drawn, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{DOT}\"/></g>");
    }
    let told = dots.iter().map(|dot| {
        let place = if dot.is_front { ", on the front" } else { "" };
        format!("{}: {:.2} and {:.3}{place}", dot.name, dot.x, dot.y)
    });
    let told = format!("{title}. {}", told.collect::<Vec<_>>().join("; "));
    format!(
        "<figure><figcaption>{}; up: {}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" aria-label=\"{}\">{drawn}</svg></figure>",
        escaped(title),
        escaped(y),
        escaped(&told)
    )
}

/// The ticks of both axes, and what lies along the lower one.
fn grid(along: &Axis, up: &Axis, x: &str) -> String {
    let mut drawn = String::new();
    for tick in along.ticks() {
        let at = along.at(tick);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text class=\"middle\" x=\"{at:.1}\" y=\"{}\">{tick}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        );
    }
    for tick in up.ticks() {
        let at = up.at(tick);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"figure\" x=\"{}\" y=\"{:.1}\">{tick}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = write!(
        drawn,
        "<text class=\"figure\" x=\"{}\" y=\"{}\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escaped(x)
    );
    drawn
}

/// Where a name begins, or ends if it stands on the left, and the middle of its height.
#[derive(Clone, Copy, Debug)]
struct Name {
    x: f64,
    y: f64,
    is_left: bool,
}

/// Beside each dot, or as near as nothing is covered, neither a dot nor a name.
fn names(dots: &[Dot], places: &[[f64; 2]]) -> Vec<Option<Name>> {
    let mut taken: Vec<[f64; 4]> =
        places.iter().map(|[x, y]| [x - DOT, x + DOT, y - DOT, y + DOT]).collect();
    let mut found = Vec::with_capacity(dots.len());
    for (dot, [cx, cy]) in dots.iter().zip(places) {
        if dot.name.is_empty() {
            found.push(None);
            continue;
        }
        let width = LETTER * dot.name.chars().count() as f64;
        let lines = (0..=MAX_LINES).flat_map(|line| [-line, line]);
        let tries = lines.flat_map(|line| [false, true].map(|is_left| (line, is_left)));
        let name = |(line, is_left): (i32, bool)| Name {
            x: if is_left { cx - BESIDE } else { cx + BESIDE },
            y: cy + f64::from(line) * LINE,
            is_left,
        };
        let room = |name: &Name| {
            let from = if name.is_left { name.x - width } else { name.x };
            [from, from + width, name.y - LINE / 2.0, name.y + LINE / 2.0]
        };
        let is_free = |name: &Name| {
            let [left, right, top, bottom] = room(name);
            left >= 0.0
                && right <= WIDTH
                && top >= 0.0
                && bottom <= HEIGHT - BOTTOM + LINE / 2.0
                && taken
                    .iter()
                    .all(|of| left >= of[1] || right <= of[0] || top >= of[3] || bottom <= of[2])
        };
        // Where there is no room at all, the list below the plot has it.
        let place = tries.map(name).find(is_free);
        taken.extend(place.iter().map(room));
        found.push(place);
    }
    found
}

/// From the power of ten below the smallest value, or from nothing, to the largest.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, largest) = values
            .fold((f64::MAX, FINEST), |(least, most), value| (least.min(value), most.max(value)));
        let least = if least < FINEST { 0.0 } else { 10.0_f64.powf(least.log10().floor()) };
        let most = scaled(largest) + (scaled(largest) - scaled(least)).max(FINEST) * 0.05;
        Self { least: scaled(least), most, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (scaled(value) - self.least) / (self.most - self.least);
        self.from + (self.to - self.from) * part.clamp(0.0, 1.0)
    }

    /// 0 if it is there, and the powers of ten up to the largest value that have room.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-2..=9).map(|power| 10.0_f64.powi(power));
        let within = |tick: &f64| (self.least..=self.most).contains(&scaled(*tick));
        let mut ticks: Vec<f64> = Vec::new();
        for tick in [0.0].into_iter().chain(powers).filter(within) {
            let before = ticks.last().map(|before| (self.at(tick) - self.at(*before)).abs());
            if before.is_none_or(|gap| gap >= LINE) {
                ticks.push(tick);
            }
        }
        ticks
    }
}

/// Linear near 0, logarithmic above.
fn scaled(value: f64) -> f64 {
    (1.0 + value.max(0.0) / FINEST).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(name: &str, x: f64, y: f64) -> Dot {
        Dot { name: name.to_owned(), x, y, is_front: y == 0.0 }
    }

    #[test]
    fn no_name_covers_a_dot_or_another_name_or_leaves_the_plot() {
        let named = ["kubelet-liveness", "lifeguard", "default", "", "count-debounce"];
        let dots = named.map(|name| dot(name, 1.0, 0.0));
        for places in [
            [[150.0, 205.0], [160.0, 205.0], [348.0, 205.0], [155.0, 205.0], [340.0, 200.0]],
            [[50.0, 12.0]; 5],
            [[348.0, 210.0]; 5],
        ] {
            let names = names(&dots, &places);
            let rooms: Vec<[f64; 4]> = names
                .iter()
                .zip(&dots)
                .filter_map(|(name, dot)| {
                    let Name { x, y, is_left } = (*name)?;
                    let width = LETTER * dot.name.len() as f64;
                    let from = if is_left { x - width } else { x };
                    Some([from, from + width, y - LINE / 2.0, y + LINE / 2.0])
                })
                .collect();
            assert_eq!(rooms.len(), 4, "all that have a name: {names:?}");
            for (nth, [left, right, top, bottom]) in rooms.iter().enumerate() {
                assert!(*left >= 0.0 && *right <= WIDTH && *top >= 0.0, "{names:?}");
                let apart = |of: &[f64; 4]| {
                    *left >= of[1] || *right <= of[0] || *top >= of[3] || *bottom <= of[2]
                };
                assert!(rooms[nth + 1..].iter().all(apart), "{names:?}");
                let of_dots = places.map(|[x, y]| [x - DOT, x + DOT, y - DOT, y + DOT]);
                assert!(of_dots.iter().all(apart), "{names:?}");
            }
        }
    }

    #[test]
    fn an_axis_begins_below_the_smallest_value() {
        let axis = |values: [f64; 2]| Axis::over(values.into_iter(), 0.0, 100.0).ticks();
        assert_eq!(axis([25.0, 168.0]), [10.0, 100.0]);
        assert_eq!(axis([0.0, 0.3]), [0.0, 0.01, 0.1]);
        assert_eq!(axis([0.0, 900.0])[..2], [0.0, 0.1], "0.01 would cover 0");
        assert_eq!(Axis::over([10.0, 168.0].into_iter(), 0.0, 100.0).at(10.0), 0.0);
    }

    #[test]
    fn a_plot_says_in_words_what_it_shows() {
        let plot = scatter("t", ["x", "y"], &[dot("<a>", 2.0, 0.0), dot("b", 30.0, 1.5)]);
        assert!(
            plot.contains("&lt;a&gt;: 2.00 and 0.000, on the front; b: 30.00 and 1.500"),
            "{plot}"
        );
        assert!(!plot.contains("<a>") && plot.contains("role=\"img\""), "{plot}");
        assert!(scatter("t", ["x", "y"], &[]).contains("Nothing to draw"));
    }
}
