//! Arrays of numbers.

use std::fmt;
use std::marker::PhantomData;

/// An element of an [`Array`].
pub trait Element: Copy {
    /// Length of an encoded element, in bytes.
    const BYTES: usize;

    /// Decodes the element that `bytes` begin with.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Appends the element.
    fn encode(self, buffer: &mut Vec<u8>);
}

macro_rules! elements {
    ($($element:ty)*) => {$(
        impl Element for $element {
            const BYTES: usize = size_of::<$element>();

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self::from_be_bytes(*bytes))
            }

            fn encode(self, buffer: &mut Vec<u8>) {
                buffer.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

elements!(i16 u16 i32 i64 f32 f64);

impl Element for bool {
    const BYTES: usize = 1;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|byte| *byte != 0)
    }

    fn encode(self, buffer: &mut Vec<u8>) {
        buffer.push(u8::from(self));
    }
}

/// An array in big-endian order.
#[derive(Clone, Copy)]
pub struct Array<'a, T> {
    /// A multiple of the length of an element.
    bytes: &'a [u8],
    elements: PhantomData<T>,
}

impl<'a, T: Element> Array<'a, T> {
    /// The array whose elements are encoded in `bytes`, without the length. `None` if they do not
    /// fill it.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(T::BYTES).then_some(Self { bytes, elements: PhantomData })
    }

    /// An array of these elements, which are encoded at the end of `buffer`.
    pub fn of(elements: &[T], buffer: &'a mut Vec<u8>) -> Self {
        let start = buffer.len();
        for element in elements {
            element.encode(buffer);
        }
        Self { bytes: buffer.get(start..).unwrap_or_default(), elements: PhantomData }
    }

    /// The encoding of the elements.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / T::BYTES
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::BYTES).filter_map(T::decode)
    }
}

impl<T> PartialEq for Array<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Array<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
