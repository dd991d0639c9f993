//! Commands on places, which are the scores of sorted sets.

use convoke_grid::geo::{Place, Shape};
use convoke_grid::op::{
    AddIf, Centre, KeyOp, Near, NearAnswer, NearLimit, Nearness, Op, SeveralOp, SortedSetOp, float,
    place_reply,
};
use convoke_grid::{Reply, Score};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed};
use super::super::request::Request;

const NOT_A_UNIT: CommandError =
    CommandError::new("ERR unsupported unit provided. please use M, KM, FT, MI");

fn sorted<'a>(key: &'a [u8], op: SortedSetOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::SortedSet(op))
}

/// Consumes a longitude and a latitude.
fn place(args: &mut Args<'_, '_>) -> Result<Place, CommandError> {
    let (longitude, latitude) = (args.float()?, args.float()?);
    Place::new(longitude, latitude).ok_or_else(|| {
        let pair = format!("{longitude:.6},{latitude:.6}");
        CommandError(format!("ERR invalid longitude,latitude pair {pair}").into())
    })
}

/// Consumes a unit, and returns how many metres it has.
fn unit(args: &mut Args<'_, '_>) -> Result<f64, CommandError> {
    let units = [("m", 1.0), ("km", 1_000.0), ("ft", 0.3048), ("mi", 1_609.34)];
    let unit = units.into_iter().find(|(name, _)| args.take_keyword(name));
    unit.map(|(_, metres)| metres).ok_or(NOT_A_UNIT)
}

/// Consumes a length that is not negative.
fn length(
    args: &mut Args<'_, '_>,
    not_a_number: &'static str,
    negative: &'static str,
) -> Result<f64, CommandError> {
    let length = float(args.next()?).ok_or(CommandError::new(not_a_number))?;
    if length < 0.0 { Err(CommandError::new(negative)) } else { Ok(length) }
}

fn radius(args: &mut Args<'_, '_>) -> Result<(Shape, f64), CommandError> {
    let radius = length(args, "ERR need numeric radius", "ERR radius cannot be negative")?;
    Ok((Shape::Circle { radius }, unit(args)?))
}

fn rectangle(args: &mut Args<'_, '_>) -> Result<(Shape, f64), CommandError> {
    const NEGATIVE: CommandError = CommandError::new("ERR height or width cannot be negative");
    let number =
        |args: &mut Args<'_, '_>, wrong| float(args.next()?).ok_or(CommandError::new(wrong));
    let width = number(args, "ERR need numeric width")?;
    let height = number(args, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(NEGATIVE);
    }
    Ok((Shape::Box { width, height }, unit(args)?))
}

pub(crate) fn geoadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let (mut only, mut changed) = (AddIf::default(), false);
    loop {
        if args.take_keyword("nx") {
            only.absent = true;
        } else if args.take_keyword("xx") {
            only.present = true;
        } else if args.take_keyword("ch") {
            changed = true;
        } else {
            break;
        }
    }
    let count = args.remaining();
    if count == 0 || !count.is_multiple_of(3) || (only.absent && only.present) {
        return Err(CommandError::SYNTAX);
    }
    let mut members = Vec::with_capacity(count / 3);
    while args.remaining() > 0 {
        let score = Score::new(place(&mut args)?.score()).ok_or(CommandError::FLOAT)?;
        members.push((score, args.next()?));
    }
    Ok(sorted(key, SortedSetOp::Add { members, only, changed }))
}

pub(crate) fn geodist<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, from, to) = (args.next()?, args.next()?, args.next()?);
    let unit_m = if args.remaining() > 0 { unit(&mut args)? } else { 1.0 };
    args.expect_end()?;
    Ok(sorted(key, SortedSetOp::Distance { from, to, unit_m }))
}

/// The scores of members, which are shaped as places.
pub(crate) fn scores<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(sorted(args.next()?, SortedSetOp::Scores(args.rest())))
}

fn each(reply: Reply, shape: impl Fn(Option<f64>) -> Reply) -> Answer {
    let one = |reply| match reply {
        Reply::Double(score) => shape(Some(score)),
        _ => shape(None),
    };
    match reply {
        Reply::List(all) => Answer::Reply(Reply::List(all.into_iter().map(one).collect())),
        other => Answer::Reply(other),
    }
}

/// Shapes scores as coordinates.
pub(crate) fn geopos(_: usize, reply: Reply) -> Answer {
    each(reply, |score| score.map_or(Reply::NilList, place_reply))
}

/// Shapes scores as geohashes.
pub(crate) fn geohash(_: usize, reply: Reply) -> Answer {
    each(reply, |score| {
        let text = score.map(|score| Place::of_score(score).text());
        Reply::optional(text.as_ref().map(String::as_bytes))
    })
}

/// A search while it is parsed.
#[derive(Default)]
struct Search<'a> {
    centre: Option<Centre<'a>>,
    area: Option<(Shape, f64)>,
    sort: Option<Nearness>,
    count: Option<u64>,
    any: bool,
    distance: bool,
    score: bool,
    place: bool,
    /// Where to store the result, and whether distances are stored.
    store: Option<(&'a [u8], bool)>,
}

/// Which options a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `GEOSEARCH`.
    Search,
    /// `GEOSEARCHSTORE`.
    SearchStore,
    /// `GEORADIUS` and `GEORADIUSBYMEMBER`.
    Radius,
    /// Their read-only forms.
    RadiusReadOnly,
}

impl<'a> Search<'a> {
    /// Consumes all remaining options.
    fn options(&mut self, args: &mut Args<'_, 'a>, form: Form) -> Result<(), CommandError> {
        let names_area = matches!(form, Form::Search | Form::SearchStore);
        while args.remaining() > 0 {
            if args.take_keyword("withdist") {
                self.distance = true;
            } else if args.take_keyword("withhash") {
                self.score = true;
            } else if args.take_keyword("withcoord") {
                self.place = true;
            } else if args.take_keyword("any") {
                self.any = true;
            } else if args.take_keyword("asc") {
                self.sort = Some(Nearness::NearestFirst);
            } else if args.take_keyword("desc") {
                self.sort = Some(Nearness::FarthestFirst);
            } else if args.remaining() > 1 && args.take_keyword("count") {
                let count = args.integer()?;
                let count = u64::try_from(count).ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or(CommandError::new("ERR COUNT must be > 0"))?);
            } else if form == Form::Radius && args.remaining() > 1 && args.take_keyword("store") {
                self.store = Some((args.next()?, false));
            } else if form == Form::Radius && args.remaining() > 1 && args.take_keyword("storedist")
            {
                self.store = Some((args.next()?, true));
            } else if form == Form::SearchStore && args.take_keyword("storedist") {
                self.store = self.store.map(|(key, _)| (key, true));
            } else if names_area
                && !matches!(self.centre, Some(Centre::At(_)))
                && args.remaining() > 1
                && args.take_keyword("frommember")
            {
                self.centre = Some(Centre::Member(args.next()?));
            } else if names_area
                && !matches!(self.centre, Some(Centre::Member(_)))
                && args.remaining() > 2
                && args.take_keyword("fromlonlat")
            {
                self.centre = Some(Centre::At(place(args)?));
            } else if names_area
                && !matches!(self.area, Some((Shape::Box { .. }, _)))
                && args.remaining() > 2
                && args.take_keyword("byradius")
            {
                self.area = Some(radius(args)?);
            } else if names_area
                && !matches!(self.area, Some((Shape::Circle { .. }, _)))
                && args.remaining() > 3
                && args.take_keyword("bybox")
            {
                self.area = Some(rectangle(args)?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(())
    }

    /// The operation. `name` is the name of the command for error messages and events.
    fn op(self, key: &'a [u8], form: Form, name: &str) -> Parsed<'a> {
        let stores = self.store.is_some();
        if stores && (self.distance || self.score || self.place) {
            let subject = match form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(CommandError(
                format!(
                    "ERR {subject} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                )
                .into(),
            ));
        }
        let missing = |what: &str| {
            CommandError(format!("ERR exactly one of {what} can be specified for {name}").into())
        };
        let centre = self.centre.ok_or_else(|| missing("FROMMEMBER or FROMLONLAT"))?;
        let (shape, unit_m) = self.area.ok_or_else(|| missing("BYRADIUS and BYBOX"))?;
        if self.any && self.count.is_none() {
            return Err(CommandError::new("ERR the ANY argument requires COUNT argument"));
        }
        // The nearest ones are meant, unless any will do.
        let sort = match self.sort {
            None if self.count.is_some() && !self.any => Some(Nearness::NearestFirst),
            sort => sort,
        };
        let limit = self.count.map(|count| NearLimit { count, any: self.any });
        let near = Near { centre, shape, unit_m, sort, limit };
        if let Some((to, distance)) = self.store {
            let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
            return Ok(Op::Several(SeveralOp::StoreNear { from: key, to, near, distance, event }));
        }
        let (distance, score, place) = (self.distance, self.score, self.place);
        let answer = NearAnswer::Members { distance, score, place };
        Ok(sorted(key, SortedSetOp::Near { near, answer }))
    }
}

pub(crate) fn geosearch<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let mut search = Search::default();
    search.options(&mut args, Form::Search)?;
    search.op(key, Form::Search, "geosearch")
}

pub(crate) fn geosearchstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (to, key) = (args.next()?, args.next()?);
    let mut search = Search { store: Some((to, false)), ..Search::default() };
    search.options(&mut args, Form::SearchStore)?;
    search.op(key, Form::SearchStore, "geosearchstore")
}

fn around<'a>(request: &Request<'a>, form: Form) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let centre = Some(Centre::At(place(&mut args)?));
    let mut search = Search { centre, area: Some(radius(&mut args)?), ..Search::default() };
    search.options(&mut args, form)?;
    search.op(key, form, "georadius")
}

fn around_member<'a>(request: &Request<'a>, form: Form) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let centre = Some(Centre::Member(args.next()?));
    let mut search = Search { centre, area: Some(radius(&mut args)?), ..Search::default() };
    search.options(&mut args, form)?;
    search.op(key, form, "georadiusbymember")
}

pub(crate) fn georadius<'a>(request: &Request<'a>) -> Parsed<'a> {
    around(request, Form::Radius)
}

pub(crate) fn georadius_ro<'a>(request: &Request<'a>) -> Parsed<'a> {
    around(request, Form::RadiusReadOnly)
}

pub(crate) fn georadiusbymember<'a>(request: &Request<'a>) -> Parsed<'a> {
    around_member(request, Form::Radius)
}

pub(crate) fn georadiusbymember_ro<'a>(request: &Request<'a>) -> Parsed<'a> {
    around_member(request, Form::RadiusReadOnly)
}
