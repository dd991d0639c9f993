//! What the libraries written in Rust have in common: arguments, and errors that scripts catch.

use mlua::{Function, Lua, MultiValue, Table, Value};

/// Results of one call, at most: as many as the stack of the state takes from one function.
pub(crate) const RESULTS_MAX: usize = 7_000;
/// The longest text that is read as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 4 * 1024;

/// The arguments of a function of a library.
pub(crate) struct Args<'a> {
    pub(crate) lua: &'a Lua,
    name: &'static str,
    values: Vec<Value>,
}

/// Results of a function, or the text of the error that it raises.
pub(crate) type Returned = Result<MultiValue, String>;

impl Args<'_> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Value> {
        self.values.get(at)
    }

    fn bad(&self, at: usize, expected: &str) -> String {
        let found = self.values.get(at).map_or("no value", Value::type_name);
        format!("bad argument #{} to '{}' ({expected} expected, got {found})", at + 1, self.name)
    }

    /// An error that names the argument.
    pub(crate) fn invalid(&self, at: usize, why: &str) -> String {
        format!("bad argument #{} to '{}' ({why})", at + 1, self.name)
    }

    /// A number, or a text that is one.
    pub(crate) fn number(&self, at: usize) -> Result<f64, String> {
        match self.values.get(at) {
            Some(Value::Integer(number)) => Ok(*number as f64),
            Some(Value::Number(number)) => Ok(*number),
            Some(Value::String(text)) if text.as_bytes().len() <= NUMBER_BYTES_MAX => text
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| self.bad(at, "number")),
            _ => Err(self.bad(at, "number")),
        }
    }

    /// A text, or a number as text.
    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, String> {
        match self.values.get(at) {
            Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
            Some(Value::Integer(number)) => Ok(number.to_string().into_bytes()),
            Some(Value::Number(number)) => Ok(crate::number_text(*number).into_bytes()),
            _ => Err(self.bad(at, "string")),
        }
    }

    /// Makes the results of values.
    #[expect(clippy::unnecessary_wraps, reason = "what a function of a library returns")]
    pub(crate) fn returns(
        &self,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<MultiValue, String> {
        Ok(MultiValue::from_iter(values))
    }

    pub(crate) fn returns_bytes(&self, bytes: &[u8]) -> Returned {
        let text = self.lua.create_string(bytes).map_err(|error| plain(&error))?;
        self.returns([Value::String(text)])
    }
}

/// The text of an error of Lua, without a traceback.
pub(crate) fn plain(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(text) => text.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".into(),
        mlua::Error::CallbackError { cause, .. } => plain(cause),
        other => other.to_string(),
    }
}

/// Adds a function to a library. An error that it returns is raised as text, with the position of
/// the caller, as the functions of Lua itself raise theirs: an error of Rust would be an object
/// that scripts cannot read.
pub(crate) fn add(
    lua: &Lua,
    guard: &Function,
    library: &Table,
    name: &'static str,
    function: impl Fn(&Args<'_>) -> Returned + 'static,
) -> mlua::Result<()> {
    let raw = lua.create_function(move |lua, values: MultiValue| {
        let args = Args { lua, name, values: values.into_iter().collect() };
        let mut returned = match function(&args) {
            Ok(returned) => returned,
            Err(text) => {
                let text = Value::String(lua.create_string(&text)?);
                return Ok(MultiValue::from_iter([Value::Boolean(false), text]));
            }
        };
        returned.push_front(Value::Boolean(true));
        Ok(returned)
    })?;
    library.raw_set(name, guard.call::<Function>(raw)?)
}
