//! Reads streams of Java's object serialization, as far as plain objects need it.
//!
//! ```text
//! stream     AC ED 00 05 object
//! object     73 class values      an object: the values of its fields, those of superclasses first
//!            74 text              a string
//!            7E class text        a constant of an enumeration
//!            71 00 7E handle      one of the above or a class, in the order of appearance
//!            70                   null
//! class      72 name u64-uid flags fields 78 class-of-superclass
//! ```
//!
//! Objects that write their state themselves, arrays, proxies and exceptions are not understood:
//! the result is `None`. No class is loaded and nothing is run.
//!
//! Source: Java Object Serialization Specification 6.4, "Grammar for the Stream Format".

use crate::data::Input;
use crate::limits::OBJECT_DEPTH_MAX;

/// Magic number and version.
const HEADER: [u8; 4] = [0xac, 0xed, 0, 5];

/// Maximum number of classes, objects and texts in a stream.
const ITEMS_MAX: usize = 64;

/// Maximum number of fields of a class.
const FIELDS_MAX: usize = 16;

/// The number of the first item.
const FIRST_HANDLE: i32 = 0x7e_0000;

const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const TEXT: u8 = 0x74;
const END: u8 = 0x78;
const CONSTANT: u8 = 0x7e;

/// Flags of a class whose objects are the values of their fields, and of an enumeration.
const SERIALIZABLE: u8 = 0x02;
const ENUMERATION: u8 = 0x12;

/// A stream that has been read. It has one object.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    /// At most [`ITEMS_MAX`]. Superclasses come before their classes.
    items: Vec<Item<'a>>,
    root: usize,
}

#[derive(Debug)]
enum Item<'a> {
    Class(Class<'a>),
    Text(&'a str),
    Constant {
        class: usize,
        name: &'a str,
    },
    Object {
        class: usize,
        values: Vec<(&'a str, Value)>,
    },
    /// It is being read.
    Incomplete,
}

#[derive(Clone, Debug)]
struct Class<'a> {
    name: &'a str,
    flags: u8,
    /// Type and name of each field of the class and its superclasses, in the order of the values.
    /// At most [`FIELDS_MAX`].
    fields: Vec<(u8, &'a str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Number(i64),
    /// Index of an item.
    Item(usize),
}

/// An object of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'s, 'a> {
    stream: &'s Stream<'a>,
    class: usize,
    values: &'s [(&'a str, Value)],
}

impl<'a> Stream<'a> {
    /// Reads a stream of one object, up to its end.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader =
            Reader { input: Input::new(bytes), items: Vec::new(), depth: OBJECT_DEPTH_MAX };
        if reader.input.take(HEADER.len())? != HEADER {
            return None;
        }
        let Value::Item(root) = reader.object()? else { return None };
        let stream = Self { items: reader.items, root };
        reader.input.rest().is_empty().then_some(stream)
    }

    /// The object.
    pub(super) fn root(&self) -> Option<Object<'_, 'a>> {
        self.object(self.root)
    }

    fn object(&self, index: usize) -> Option<Object<'_, 'a>> {
        match self.items.get(index)? {
            Item::Object { class, values } => Some(Object { stream: self, class: *class, values }),
            _ => None,
        }
    }

    fn class_name(&self, index: usize) -> Option<&'a str> {
        match self.items.get(index)? {
            Item::Class(class) => Some(class.name),
            _ => None,
        }
    }
}

impl<'s, 'a> Object<'s, 'a> {
    /// Name of its class.
    pub(super) fn class_name(&self) -> Option<&'a str> {
        self.stream.class_name(self.class)
    }

    /// A field with a number.
    pub(super) fn number(&self, field: &str) -> Option<i64> {
        match self.value(field)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A field with a text.
    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        match self.item(field)?? {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A field with an object, or null.
    pub(super) fn object(&self, field: &str) -> Option<Option<Self>> {
        match self.value(field)? {
            Value::Null => Some(None),
            Value::Item(index) => self.stream.object(index).map(Some),
            Value::Number(_) => None,
        }
    }

    /// A field with a constant of this enumeration: its name, or null.
    pub(super) fn constant(&self, field: &str, enumeration: &str) -> Option<Option<&'a str>> {
        match self.item(field)? {
            None => Some(None),
            Some(Item::Constant { class, name })
                if self.stream.class_name(*class)? == enumeration =>
            {
                Some(Some(name))
            }
            Some(_) => None,
        }
    }

    fn value(&self, field: &str) -> Option<Value> {
        self.values.iter().find(|(name, _)| *name == field).map(|(_, value)| *value)
    }

    fn item(&self, field: &str) -> Option<Option<&'s Item<'a>>> {
        match self.value(field)? {
            Value::Null => Some(None),
            Value::Item(index) => self.stream.items.get(index).map(Some),
            Value::Number(_) => None,
        }
    }
}

struct Reader<'a> {
    input: Input<'a>,
    items: Vec<Item<'a>>,
    /// Remaining depth of nested objects and superclasses.
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Adds an item, and returns its index.
    fn add(&mut self, item: Item<'a>) -> Option<usize> {
        if self.items.len() == ITEMS_MAX {
            return None;
        }
        self.items.push(item);
        Some(self.items.len() - 1)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth = self.depth.checked_sub(1)?;
        let result = read(self);
        self.depth += 1;
        result
    }

    /// An object, a text, a constant or null.
    fn object(&mut self) -> Option<Value> {
        let index = match self.input.u8()? {
            NULL => return Some(Value::Null),
            REFERENCE => self.reference()?,
            TEXT => self.new_text()?,
            OBJECT => self.nested(Self::new_object)?,
            CONSTANT => self.nested(Self::new_constant)?,
            _ => return None,
        };
        Some(Value::Item(index))
    }

    fn reference(&mut self) -> Option<usize> {
        let index = usize::try_from(self.input.i32()?.checked_sub(FIRST_HANDLE)?).ok()?;
        (index < self.items.len()).then_some(index)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.input.u16()?;
        std::str::from_utf8(self.input.take(usize::from(length))?).ok()
    }

    fn new_text(&mut self) -> Option<usize> {
        let text = self.text()?;
        self.add(Item::Text(text))
    }

    fn new_object(&mut self) -> Option<usize> {
        let class = self.class()??;
        let object = self.add(Item::Incomplete)?;
        let Item::Class(Class { flags: SERIALIZABLE, fields, .. }) = self.items.get(class)? else {
            return None;
        };
        let mut values = Vec::with_capacity(fields.len());
        for (kind, name) in fields.clone() {
            values.push((name, self.value(kind)?));
        }
        *self.items.get_mut(object)? = Item::Object { class, values };
        Some(object)
    }

    fn new_constant(&mut self) -> Option<usize> {
        let class = self.class()??;
        let constant = self.add(Item::Incomplete)?;
        let Item::Class(Class { flags: ENUMERATION, .. }) = self.items.get(class)? else {
            return None;
        };
        let Value::Item(name) = self.object()? else { return None };
        let Item::Text(name) = *self.items.get(name)? else { return None };
        *self.items.get_mut(constant)? = Item::Constant { class, name };
        Some(constant)
    }

    /// A class, or null.
    fn class(&mut self) -> Option<Option<usize>> {
        match self.input.u8()? {
            NULL => Some(None),
            REFERENCE => self.reference().map(Some),
            CLASS => self.nested(Self::new_class).map(Some),
            _ => None,
        }
    }

    fn new_class(&mut self) -> Option<usize> {
        let name = self.text()?;
        let _uid = self.input.i64()?;
        let class = self.add(Item::Incomplete)?;
        let (flags, count) = (self.input.u8()?, usize::from(self.input.u16()?));
        let mut own = Vec::with_capacity(count.min(FIELDS_MAX));
        for _ in 0..count {
            let kind = self.input.u8()?;
            own.push((kind, self.text()?));
            if own.len() > FIELDS_MAX {
                return None;
            }
            if matches!(kind, b'L' | b'[') {
                // The name of its class.
                self.object()?;
            }
        }
        // Nothing is written about the class itself.
        if self.input.u8()? != END {
            return None;
        }
        let mut fields = match self.class()? {
            None => Vec::new(),
            Some(superclass) => match self.items.get(superclass)? {
                Item::Class(superclass) => superclass.fields.clone(),
                _ => return None,
            },
        };
        fields.append(&mut own);
        if fields.len() > FIELDS_MAX {
            return None;
        }
        *self.items.get_mut(class)? = Item::Class(Class { name, flags, fields });
        Some(class)
    }

    /// The value of a field of this type.
    fn value(&mut self, kind: u8) -> Option<Value> {
        Some(Value::Number(match kind {
            b'B' => self.input.u8()?.cast_signed().into(),
            b'Z' => self.input.u8()?.into(),
            b'C' => self.input.u16()?.into(),
            b'S' => self.input.i16()?.into(),
            b'I' => self.input.i32()?.into(),
            b'J' => self.input.i64()?,
            b'L' => return self.object(),
            _ => return None,
        }))
    }
}
