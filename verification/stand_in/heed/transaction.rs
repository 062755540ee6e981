//! Transactions: a read one is a moment, a write one a copy that may take the moment's place.

use std::marker::PhantomData;
use std::ops::Deref;

use crate::Result;
use crate::image::{Disk, Image};

/// The kind of reader that is bound to no thread.
#[derive(Clone, Copy)]
pub enum WithoutTls {}

pub struct RoTxn<'e, T = WithoutTls> {
    pub(crate) image: Image,
    environment: PhantomData<&'e ()>,
    kind: PhantomData<fn() -> T>,
}

impl RoTxn<'_, WithoutTls> {
    pub(crate) fn of(image: Image) -> Self {
        RoTxn { image, environment: PhantomData, kind: PhantomData }
    }
}

/// There is one at a time: who begins two would overwrite the first. The store has one writer.
pub struct RwTxn<'e> {
    moment: RoTxn<'e, WithoutTls>,
    disk: &'e Disk,
}

impl<'e> RwTxn<'e> {
    pub(crate) fn begin(disk: &'e Disk) -> Self {
        RwTxn { moment: RoTxn::of(disk.image().clone()), disk }
    }

    pub(crate) fn image(&mut self) -> &mut Image {
        &mut self.moment.image
    }

    pub fn commit(self) -> Result<()> {
        *self.disk.image() = self.moment.image;
        Ok(())
    }
}

impl<'e> Deref for RwTxn<'e> {
    type Target = RoTxn<'e, WithoutTls>;

    fn deref(&self) -> &Self::Target {
        &self.moment
    }
}
