//! Keys and operations of any kind, in some seeds: long names, any characters, values of each type.
//!
//! A few hot records are what conflicts need, and what hides whatever depends on a key's length, on
//! how it is escaped, or on there being many. So in one of five seeds most items are drawn from all
//! keys that a client may name, and some are met again. Conflicts are rare there. Chance for this
//! is its own: other seeds are as they were before.

use crate::rng::Rng;
use vatic_core::{
    delta::{Expect, Op},
    key::{COMPONENT_BYTES_MAX, Key},
    value::{Fields, Scalar, Value},
};

/// How many of a thousand seeds are wild.
const SEEDS_PER_MILLE: u32 = 200;
/// How many of a thousand items of such a seed are drawn from the few hot ones.
const HOT_PER_MILLE: u32 = 150;
/// How many of the rest were drawn before.
const AGAIN_PER_MILLE: u32 = 400;
/// How many of a thousand operations are of any kind.
const OPS_PER_MILLE: u32 = 700;
/// Most values in a list, and fields in a record.
const LIST_MAX: u64 = 3;
/// Tells a seed's chance for this from its other.
const OWN_CHANCE: u64 = 0x3A1D_0BAD_5EED_0007;
/// What is escaped where it is stored, what sorts last, what takes several bytes.
const CHARACTERS: [char; 10] =
    ['\0', '\u{1}', 'a', 'Z', '0', '~', '\u{7f}', '\u{e9}', '\u{ffff}', '\u{10ffff}'];

pub(super) struct Wild {
    rng: Rng,
    on: bool,
    drawn: Vec<Key>,
}

impl Wild {
    pub(super) fn draw(seed: u64) -> Wild {
        let mut rng = Rng::new(seed ^ OWN_CHANCE);
        let on = rng.chance(SEEDS_PER_MILLE);
        Wild { rng, on, drawn: Vec::new() }
    }

    /// An item that may have any name; `None` where it is to be one of the few.
    pub(super) fn draw_key(&mut self) -> Option<Key> {
        if !self.on || self.rng.chance(HOT_PER_MILLE) {
            return None;
        }
        if !self.drawn.is_empty() && self.rng.chance(AGAIN_PER_MILLE) {
            return Some(self.rng.pick(&self.drawn).clone());
        }
        let partition = self.name(1);
        let sort = self.name(0);
        // Long names of what is escaped are refused: their turn is another time.
        let key = Key::new("item", &partition, &sort).ok()?;
        self.drawn.push(key.clone());
        Some(key)
    }

    /// Text that fits a key's component.
    fn name(&mut self, characters_min: u64) -> String {
        let longest = *self.rng.pick(&[2, 8, 40, COMPONENT_BYTES_MAX]);
        let characters = self.rng.between(characters_min, longest as u64);
        let mut name = String::new();
        for _ in 0..characters {
            let next = *self.rng.pick(&CHARACTERS);
            if name.len() + next.len_utf8() <= longest.max(4) {
                name.push(next);
            }
        }
        name
    }

    /// An operation of any kind on any field; `None` where it is to be one of the few.
    pub(super) fn draw_op(&mut self) -> Option<Op> {
        if !self.on || !self.rng.chance(OPS_PER_MILLE) {
            return None;
        }
        let field = self.field();
        Some(match self.rng.below(9) {
            0 | 1 => Op::Put(self.fields()),
            2 => Op::Merge(self.fields()),
            3 => Op::Add { field, by: self.rng.next() as i64 },
            4 => Op::Append { field, values: self.scalars() },
            5 => Op::Union { field, values: self.scalars() },
            6 => Op::RemoveField(field),
            7 => Op::Delete,
            _ => Op::Expect(Expect::Absent),
        })
    }

    fn fields(&mut self) -> Fields {
        let fields = 0..self.rng.between(1, LIST_MAX);
        fields.map(|_| (self.field(), self.value())).collect()
    }

    /// Mostly one that others name as well.
    fn field(&mut self) -> String {
        match self.rng.chance(700) {
            true => (*self.rng.pick(&["n", "m", "log", "set"])).to_owned(),
            false => self.name(1),
        }
    }

    fn value(&mut self) -> Value {
        match self.rng.chance(700) {
            true => Value::One(self.scalar()),
            false => Value::List(self.scalars()),
        }
    }

    fn scalars(&mut self) -> Vec<Scalar> {
        let scalars = 0..self.rng.between(0, LIST_MAX);
        scalars.map(|_| self.scalar()).collect()
    }

    fn scalar(&mut self) -> Scalar {
        let number = *self.rng.pick(&[0, 1, u64::MAX, i64::MAX as u64, i64::MIN as u64]);
        match self.rng.below(5) {
            0 => Scalar::Bool(number == 0),
            1 => Scalar::I64(number as i64),
            2 => Scalar::F64(number),
            3 => Scalar::String(self.name(0)),
            _ => Scalar::Bytes(self.name(0).into_bytes()),
        }
    }
}
