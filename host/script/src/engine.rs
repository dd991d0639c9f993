//! A Lua state, and the running of scripts in it.

mod calls;
mod lent;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table, VmState};
use serde::{Deserialize, Serialize};

use crate::convert::{InvalidReply, Names, Resp, from_lua, is_error_of_command};
use crate::deadline::{BYTES_PER_CHECK, Deadline, Ended, Ending};
use crate::json::Options;
use crate::library::plain;
use crate::number::number_text;
use crate::patterns::Patterns;
use crate::script::{Flags, Library, Script, Sha1, is_name};
use crate::source::for_luau;
use crate::value::Value;
use crate::words::{WordBuffer, Words};
use crate::{bits, json, msgpack, patterns, structs};
use calls::{Given, Unlimited, execute, list, size_of_list};
use lent::Lent;

/// Compiled scripts that an engine keeps, and bytes of their sources, at most.
const COMPILED_MAX: usize = 1_000;
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Libraries that an engine keeps, at most.
const LIBRARIES_MAX: usize = 1_000;
/// Functions of one library, at most.
const FUNCTIONS_MAX: usize = 1_000;
/// The longest source that a script loads, in bytes: compiling is not interrupted.
const LOADED_BYTES_MAX: usize = 256 * 1024;
/// Complete collections of garbage while a script allocates as much as its limit, at most.
const COLLECTIONS_MAX: usize = 16;
/// Never collect garbage at once.
const NEVER: usize = usize::MAX;
/// What Lua writes as the place of the code in `prelude.lua`.
const PRELUDE: &str = "convoke";

/// The error of a library that was not loaded in time.
const LOAD_TIMEOUT: &str = "FUNCTION LOAD timeout";

/// Names that scripts reach; all others of the state are removed.
const GLOBALS: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "collectgarbage",
    "coroutine",
    "error",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "next",
    "os",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "redis",
    "server",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];
/// Names that the source of a library does not reach while it is loaded.
const NOT_WHILE_LOADING: &[&str] = &["_G", "getmetatable", "math", "redis", "server"];
const LIBRARIES: &[(&str, &[&str])] = &[
    ("coroutine", &["create", "isyieldable", "resume", "running", "status", "wrap", "yield"]),
    (
        "math",
        &[
            "abs",
            "acos",
            "asin",
            "atan",
            "atan2",
            "ceil",
            "cos",
            "cosh",
            "deg",
            "exp",
            "floor",
            "fmod",
            "frexp",
            "huge",
            "ldexp",
            "log",
            "log10",
            "max",
            "min",
            "modf",
            "pi",
            "pow",
            "rad",
            "random",
            "randomseed",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
        ],
    ),
    ("os", &["clock"]),
    (
        "string",
        &[
            "byte", "char", "find", "format", "gfind", "gmatch", "gsub", "len", "lower", "match",
            "rep", "reverse", "sub", "upper",
        ],
    ),
    (
        "table",
        &["concat", "foreach", "foreachi", "getn", "insert", "maxn", "remove", "sort", "unpack"],
    ),
];

/// How important a line is that a script logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

/// Stops the script, even if it would catch the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt;

/// What a script can do beside computing.
pub trait Commands {
    /// Executes a command, of which there is at least the name. An error that it returns is a
    /// [`Value::Error`].
    ///
    /// # Errors
    /// [`Interrupt`] stops the script.
    fn call(&mut self, words: Words<'_>) -> Result<Value, Interrupt>;

    /// Whether the user may execute this command; `None` if there is no such command.
    fn is_allowed(&mut self, words: Words<'_>) -> Option<bool>;

    /// Logs a line.
    fn log(&mut self, level: LogLevel, text: &[u8]);
}

/// Bounds of one run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// When the script is stopped.
    pub deadline: Instant,
    /// Bytes that the state may have, all that is kept between runs included.
    pub memory_bytes_max: usize,
    /// Bytes that the reply may have. Each element counts for 64 more.
    pub reply_bytes_max: usize,
    /// Set to stop the script, if it can be stopped.
    pub stop: Option<Arc<AtomicBool>>,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The script raised an error, or returned what is no reply: the error reply.
    Error(Bytes),
    /// The deadline has passed.
    TimedOut,
    /// `stop` was set.
    Stopped,
    /// A command returned [`Interrupt`].
    Interrupted,
}

impl Failure {
    fn error(text: impl Into<String>) -> Self {
        Self::Error(Bytes::from(text.into()))
    }
}

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Its flags.
    pub flags: Flags,
}

/// What the callbacks of the state share with the engine.
#[derive(Default)]
struct Shared {
    /// When the script must stop. Libraries have it too.
    deadline: Rc<Deadline>,
    /// What a script matches long texts with.
    patterns: Rc<Patterns>,
    /// Bounds of the run.
    limits: RefCell<Option<Limits>>,
    /// Bytes of the state above which garbage is collected at once; `NEVER` while no script runs.
    collect_above: Cell<usize>,
    resp: Cell<Option<Resp>>,
    /// Whether the run has ended with an error that a command returned.
    has_passed_on: Cell<bool>,
    /// Functions that the library that is being loaded has registered.
    registering: RefCell<Option<Vec<(FunctionInfo, Function)>>>,
    /// The words of the command that is being called.
    words: RefCell<WordBuffer>,
    /// The commands of the run.
    commands: Lent,
}

impl Shared {
    fn resp(&self) -> Resp {
        self.resp.get().unwrap_or(Resp::Two)
    }

    /// Collects garbage if there is too much of it. The collector of Luau takes one short step per
    /// allocation, however large that is, so a few long strings would reach the memory limit.
    fn collect_if_needed(&self, lua: &Lua) {
        if lua.used_memory() > self.collect_above.get() {
            self.collect(lua);
        }
    }

    /// Collects garbage now, if a script runs.
    fn collect(&self, lua: &Lua) {
        if self.collect_above.get() == NEVER {
            return;
        }
        let _ = lua.gc_collect();
        let limit = self.limits.borrow().as_ref().map_or(NEVER, |of| of.memory_bytes_max);
        let used = lua.used_memory();
        let room = limit.saturating_sub(used);
        self.collect_above.set(used.saturating_add((room / 2).max(limit / COLLECTIONS_MAX)));
    }

    /// Loads code without collecting garbage meanwhile: `luau_load` looks up names, which calls what
    /// raises the error for an unknown one, while nothing refers to the new function yet.
    fn load<R>(&self, load: impl FnOnce() -> R) -> R {
        let above = self.collect_above.replace(NEVER);
        let loaded = load();
        self.collect_above.set(above);
        loaded
    }
}

/// Unwinds a script. One that catches it is interrupted again at the next loop, call or return.
fn stopped() -> mlua::Error {
    mlua::Error::runtime("the script is stopped")
}

/// A Lua state that runs scripts; see the [crate](crate).
pub struct Engine {
    lua: Lua,
    shared: Rc<Shared>,
    json: Rc<Cell<Options>>,
    names: Rc<Names>,
    /// The function of `prelude.lua` that calls a script.
    run: Function,
    /// The names that the source of a library reaches while it is loaded.
    loading: Table,
    compiled: HashMap<Arc<str>, Rc<Function>>,
    compiled_bytes: usize,
    /// Loaded libraries by name: the checksum of the source, and the functions.
    libraries: HashMap<String, (Arc<str>, HashMap<String, Function>)>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("compiled", &self.compiled.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// A new state. `redis.REDIS_VERSION` is this version, `major.minor.patch`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(version: &str) -> Result<Self, Failure> {
        Self::make(version).map_err(|error| Failure::error(format!("ERR {}", plain(&error))))
    }

    fn make(version: &str) -> mlua::Result<Self> {
        let libraries = StdLib::COROUTINE
            | StdLib::TABLE
            | StdLib::STRING
            | StdLib::MATH
            | StdLib::OS
            | StdLib::DEBUG;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let shared = Rc::new(Shared { collect_above: Cell::new(NEVER), ..Shared::default() });
        let json = Rc::new(Cell::new(Options::default()));
        let names = Rc::new(Names::new(&lua)?);
        let host = host_functions(&lua, &shared, &names, version)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(format!("={PRELUDE}"));
        let (guard, run, protection, registering): (Function, Function, Table, Table) =
            prelude.call(&host)?;
        // Without line numbers: what Luau refuses there gets no position.
        let strings = lua.load(include_str!("strings.lua")).set_name(format!("={PRELUDE}"));
        strings.set_compiler(Compiler::new().set_debug_level(0)).call::<()>(host)?;
        let globals = lua.globals();
        keep_only(&globals, GLOBALS)?;
        for (name, functions) in LIBRARIES {
            keep_only(&globals.raw_get::<Table>(*name)?, functions)?;
        }
        let table: Table = globals.raw_get("table")?;
        let math: Table = globals.raw_get("math")?;
        math.raw_set("mod", math.raw_get::<Function>("fmod")?)?;
        let load = load_function(&lua, &shared)?;
        globals.raw_set("load", load.clone())?;
        globals.raw_set("loadstring", load)?;
        globals.raw_set("collectgarbage", collectgarbage(&lua)?)?;
        globals.raw_set("_VERSION", "Lua 5.1")?;
        globals.raw_set("bit", bits::library(&lua, &guard)?)?;
        let deadline = &shared.deadline;
        globals.raw_set("struct", structs::library(&lua, &guard, deadline)?)?;
        globals.raw_set("cmsgpack", msgpack::library(&lua, &guard, deadline)?)?;
        globals.raw_set("cjson", json::library(&lua, &guard, &json, deadline)?)?;
        for library in globals.pairs::<mlua::Value, mlua::Value>() {
            if let (_, mlua::Value::Table(library)) = library? {
                library.set_readonly(true);
            }
        }
        table.set_readonly(true);
        protection.set_readonly(true);
        let of_strings: Table = lua.load("return getmetatable('')").call(())?;
        of_strings.set_readonly(true);
        registering.set_readonly(true);
        let loading = lua.create_table()?;
        for pair in globals.pairs::<String, mlua::Value>() {
            let (name, value) = pair?;
            if !NOT_WHILE_LOADING.contains(&&*name) {
                loading.raw_set(name, value)?;
            }
        }
        loading.raw_set("redis", &registering)?;
        loading.raw_set("server", registering)?;
        loading.set_metatable(Some(protection))?;
        loading.set_readonly(true);
        globals.set_readonly(true);
        // Nothing changes any more: names need not be looked up again.
        globals.set_safeenv(true);
        let of_interrupt = Rc::clone(&shared);
        lua.set_interrupt(move |lua| {
            of_interrupt.collect_if_needed(lua);
            match of_interrupt.deadline.check() {
                Ok(()) => Ok(VmState::Continue),
                Err(Ended) => Err(stopped()),
            }
        });
        Ok(Self {
            shared,
            json,
            names,
            lua,
            run,
            loading,
            compiled: HashMap::new(),
            compiled_bytes: 0,
            libraries: HashMap::new(),
        })
    }

    /// Compiles a script, without running it.
    ///
    /// # Errors
    /// If it is not well-formed: the error reply.
    pub fn check(&mut self, script: &Script) -> Result<(), Failure> {
        self.compiled(script).map(|_| ())
    }

    fn compiled(&mut self, script: &Script) -> Result<Rc<Function>, Failure> {
        if let Some(function) = self.compiled.get(&script.sha) {
            return Ok(Rc::clone(function));
        }
        // The two names are arguments of the function that the script is: no global changes.
        let mut source = b"local KEYS, ARGV = ... ".to_vec();
        source.extend_from_slice(script.body());
        let function = self.compile(&source, "user_script", None).map_err(|error| {
            let text = error.replace("local KEYS, ARGV = ... ", "");
            Failure::error(format!("ERR Error compiling script (new function): {text}"))
        })?;
        let is_full = self.compiled.len() >= COMPILED_MAX
            || self.compiled_bytes + script.source.len() > COMPILED_BYTES_MAX;
        if is_full {
            self.compiled.clear();
            self.compiled_bytes = 0;
        }
        self.compiled_bytes += script.source.len();
        let function = Rc::new(function);
        self.compiled.insert(Arc::clone(&script.sha), Rc::clone(&function));
        Ok(function)
    }

    fn compile(
        &self,
        source: &[u8],
        name: &str,
        environment: Option<&Table>,
    ) -> Result<Function, String> {
        let source = for_luau(source);
        let mut chunk = self.lua.load(&*source).set_name(format!("={name}"));
        if let Some(environment) = environment {
            chunk = chunk.set_environment(environment.clone());
        }
        chunk.set_mode(ChunkMode::Text).into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            error => plain(&error),
        })
    }

    /// Runs a script.
    ///
    /// # Errors
    /// If it raises an error, or is stopped.
    pub fn run<'w>(
        &mut self,
        script: &Script,
        keys: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        args: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<Value, Failure> {
        self.shared.has_passed_on.set(false);
        let function = self.compiled(script)?;
        self.call(&function, &script.sha, (keys, args), limits, commands)
    }

    /// Reads and runs the source of a library, which registers its functions.
    ///
    /// # Errors
    /// If it is malformed, raises an error, or registers nothing: the text after `ERR `.
    pub fn load(
        &mut self,
        library: &Library,
        limits: &Limits,
    ) -> Result<Vec<FunctionInfo>, String> {
        let loaded = self.load_within(library, limits);
        // Elsewhere it would not be loaded in time either.
        if loaded.is_ok() && Instant::now() >= limits.deadline {
            self.libraries.remove(&library.name);
            return Err(LOAD_TIMEOUT.into());
        }
        loaded.map_err(|failure| match failure {
            Failure::Error(text) => String::from_utf8_lossy(&text).into_owned(),
            Failure::TimedOut | Failure::Stopped | Failure::Interrupted => LOAD_TIMEOUT.into(),
        })
    }

    /// Loads a library. An error has no `ERR `.
    fn load_within(
        &mut self,
        library: &Library,
        limits: &Limits,
    ) -> Result<Vec<FunctionInfo>, Failure> {
        // Its functions reach all names once it is loaded.
        let scope = self.lua.create_table().and_then(|names| {
            let environment = self.lua.create_table()?;
            names.raw_set("__index", &self.loading)?;
            environment.set_metatable(Some(names.clone()))?;
            environment.set_readonly(true);
            Ok((environment, names))
        });
        let (environment, names) = scope.map_err(|error| Failure::error(plain(&error)))?;
        let function = self
            .compile(library.body(), "user_function", Some(&environment))
            .map_err(|text| Failure::error(format!("Error compiling function: {text}")))?;
        *self.shared.registering.borrow_mut() = Some(Vec::new());
        let none = || std::iter::empty::<&[u8]>();
        let result = self.call(&function, &library.name, (none(), none()), limits, &mut Refusing);
        let registered = self.shared.registering.borrow_mut().take().unwrap_or_default();
        match result {
            Ok(_) => {}
            Err(Failure::Error(text)) => {
                let text = String::from_utf8_lossy(&text);
                let text = text.strip_prefix("ERR ").unwrap_or(&text);
                return Err(Failure::error(format!("Error registering functions: {text}")));
            }
            Err(failure) => return Err(failure),
        }
        if registered.is_empty() {
            return Err(Failure::error("No functions registered"));
        }
        let set = names.raw_set("__index", self.lua.globals());
        set.map_err(|error| Failure::error(plain(&error)))?;
        let names = registered.iter().map(|(registered, _)| registered.clone()).collect();
        let functions = registered
            .into_iter()
            .map(|(of, function)| (of.name.to_ascii_lowercase(), function))
            .collect();
        if self.libraries.len() >= LIBRARIES_MAX && !self.libraries.contains_key(&library.name) {
            // They are loaded again when they are called.
            self.libraries.clear();
        }
        self.libraries.insert(library.name.clone(), (Arc::clone(&library.sha), functions));
        Ok(names)
    }

    /// Runs a function of a library, which is loaded first if this engine has not loaded it. Its
    /// name may be in any case.
    ///
    /// # Errors
    /// If it raises an error, or is stopped.
    pub fn run_function<'w>(
        &mut self,
        library: &Library,
        name: &str,
        keys: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        args: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<Value, Failure> {
        self.shared.has_passed_on.set(false);
        let is_loaded =
            self.libraries.get(&library.name).is_some_and(|(sha, _)| *sha == library.sha);
        if !is_loaded {
            self.load_within(library, limits).map_err(|failure| match failure {
                Failure::Error(text) => {
                    Failure::error(format!("ERR {}", String::from_utf8_lossy(&text)))
                }
                failure => failure,
            })?;
        }
        let loaded = self.libraries.get(&library.name);
        let function = loaded.and_then(|(_, all)| match all.get(name) {
            Some(function) => Some(function),
            None => all.get(&name.to_ascii_lowercase()),
        });
        let function = function.cloned().ok_or_else(|| Failure::error("ERR Function not found"))?;
        self.call(&function, name, (keys, args), limits, commands)
    }

    /// Forgets all that was compiled.
    pub fn clear(&mut self) {
        self.compiled.clear();
        self.compiled_bytes = 0;
        self.libraries.clear();
        let _ = self.lua.gc_collect();
    }

    /// Whether the last run ended with an error that a command returned, and not with one of the
    /// script itself.
    #[must_use]
    pub fn has_passed_on_an_error(&self) -> bool {
        self.shared.has_passed_on.get()
    }

    /// Bytes that the state has.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    fn begin(&mut self, limits: &Limits) {
        if self.lua.used_memory() > limits.memory_bytes_max / 2 {
            // What earlier scripts left counts for this one.
            let _ = self.lua.gc_collect();
            if self.lua.used_memory() > limits.memory_bytes_max / 2 {
                self.clear();
            }
        }
        self.json.set(Options::default());
        self.shared.deadline.begin(limits.deadline, limits.stop.as_ref());
        self.shared.resp.set(None);
        self.shared.collect_above.set(limits.memory_bytes_max / 2);
        *self.shared.limits.borrow_mut() = Some(limits.clone());
    }

    fn end(&self) {
        self.shared.deadline.finish();
        self.shared.patterns.clear();
        self.shared.collect_above.set(NEVER);
        *self.shared.limits.borrow_mut() = None;
        let _ = self.lua.set_memory_limit(0);
    }

    /// Calls a function with keys and arguments within these limits, which end with it.
    fn call<'w>(
        &mut self,
        function: &Function,
        name: &str,
        arguments: (
            impl ExactSizeIterator<Item = &'w [u8]> + Clone,
            impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        ),
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<Value, Failure> {
        self.begin(limits);
        let result = self.call_begun(function, name, arguments, limits, commands);
        self.end();
        result
    }

    fn call_begun<'w>(
        &self,
        function: &Function,
        name: &str,
        (keys, args): (
            impl ExactSizeIterator<Item = &'w [u8]> + Clone,
            impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        ),
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<Value, Failure> {
        let (lua, shared) = (&self.lua, &self.shared);
        let prepare = || {
            let _ = lua.set_memory_limit(limits.memory_bytes_max);
            let needed = size_of_list(keys.clone()) + size_of_list(args.clone());
            let _unlimited = Unlimited::if_fits(lua, shared, needed);
            Ok((list(lua, keys)?, list(lua, args)?))
        };
        let returned = prepare().and_then(|(keys, args)| {
            let run = || self.run.call::<(bool, mlua::Value, bool)>((function, keys, args));
            shared.commands.lend(commands, run)
        });
        // The script may have caught the interrupt.
        match shared.deadline.ending() {
            Some(Ending::TimedOut) => return Err(Failure::TimedOut),
            Some(Ending::Stopped) => return Err(Failure::Stopped),
            Some(Ending::Interrupted) => return Err(Failure::Interrupted),
            None => {}
        }
        if let Ok((_, value, false)) = &returned {
            shared.has_passed_on.set(is_error_of_command(&self.names, value));
        }
        match returned {
            Ok((true, value, is_list)) => {
                let (resp, bytes_max) = (shared.resp(), limits.reply_bytes_max);
                let reply = from_lua(&self.names, &value, is_list, resp, bytes_max);
                reply.map_err(|unfit| {
                    Failure::error(match unfit {
                        InvalidReply::Depth => "ERR reached lua stack limit",
                        InvalidReply::Length => "ERR the reply of the script is too long",
                    })
                })
            }
            Ok((false, error, _)) => Err(Failure::Error(uncaught(&error, name))),
            Err(error) => Err(Failure::error(format!("ERR {} script: {name}", plain(&error)))),
        }
    }
}

/// The error reply for an error that a script did not catch, with the position.
fn uncaught(error: &mlua::Value, name: &str) -> Bytes {
    let mlua::Value::Table(error) = error else {
        return Bytes::from_static(b"ERR the script failed");
    };
    let text = |name: &str| match error.raw_get::<mlua::Value>(name) {
        Ok(mlua::Value::String(text)) => String::from_utf8_lossy(&text.as_bytes()).into_owned(),
        Ok(mlua::Value::Integer(number)) => number.to_string(),
        Ok(mlua::Value::Number(number)) => number_text(number),
        _ => String::new(),
    };
    let message = text("err").replace(['\r', '\n'], " ");
    // As Redis writes it.
    let message = message.replace("attempt to modify a readonly", "Attempt to modify a readonly");
    let (source, line) = (text("source"), text("line"));
    if source.is_empty() {
        return Bytes::from(format!("{message} script: {name}"));
    }
    Bytes::from(format!("{message} script: {name}, on @{source}:{line}."))
}

/// While a library is loaded, it cannot execute anything.
struct Refusing;

impl Commands for Refusing {
    fn call(&mut self, _: Words<'_>) -> Result<Value, Interrupt> {
        Ok(Value::error("ERR commands cannot be called while a library is loaded"))
    }

    fn is_allowed(&mut self, _: Words<'_>) -> Option<bool> {
        Some(false)
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}
}

/// What `prelude.lua` needs of the host.
fn host_functions(
    lua: &Lua,
    shared: &Rc<Shared>,
    names: &Rc<Names>,
    version: &str,
) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.raw_set("name", PRELUDE)?;
    host.raw_set("CALL", calls::CALL)?;
    host.raw_set("ALLOWED", calls::ALLOWED)?;
    host.raw_set("LOG", calls::LOG)?;
    host.raw_set("version", version)?;
    let number = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    host.raw_set("version_number", number.fold(0, |all, part| all << 8 | part))?;
    let (of_run, names) = (Rc::clone(shared), Rc::clone(names));
    let execute = move |lua: &Lua, given: Given| {
        let run = |commands: &mut dyn Commands| execute(lua, &of_run, &names, commands, given);
        of_run.commands.with(run).unwrap_or_else(|| Err(stopped()))
    };
    host.raw_set("execute", lua.create_function(execute)?)?;
    let deadline = Rc::clone(&shared.deadline);
    let sha = move |lua: &Lua, text: mlua::LuaString| {
        let mut sha = Sha1::default();
        for part in text.as_bytes().chunks(BYTES_PER_CHECK) {
            deadline.check().map_err(|Ended| stopped())?;
            sha.add(part);
        }
        lua.create_string(sha.hex())
    };
    host.raw_set("sha1hex", lua.create_function(sha)?)?;
    patterns::add(lua, &host, &shared.patterns, &shared.deadline)?;
    let of_script = Rc::clone(shared);
    let setresp = move |_: &Lua, version: i64| {
        of_script.resp.set(Some(if version == 3 { Resp::Three } else { Resp::Two }));
        Ok(())
    };
    host.raw_set("setresp", lua.create_function(setresp)?)?;
    let of_library = Rc::clone(shared);
    let register =
        move |_: &Lua, given: (mlua::LuaString, Function, Table, Option<mlua::LuaString>)| {
            Ok(register_function(&of_library, given).err())
        };
    host.raw_set("register", lua.create_function(register)?)?;
    Ok(host)
}

fn register_function(
    shared: &Shared,
    (name, function, given, description): (
        mlua::LuaString,
        Function,
        Table,
        Option<mlua::LuaString>,
    ),
) -> Result<(), String> {
    let mut registering = shared.registering.borrow_mut();
    let all = registering
        .as_mut()
        .ok_or("ERR redis.register_function can only be called on FUNCTION LOAD command")?;
    let text = |text: &mlua::LuaString| String::from_utf8_lossy(&text.as_bytes()).into_owned();
    let name = text(&name);
    if !is_name(&name) {
        return Err("ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long".into());
    }
    if all.iter().any(|(known, _)| known.name.eq_ignore_ascii_case(&name)) {
        return Err("ERR Function already exists in the library".into());
    }
    if all.len() >= FUNCTIONS_MAX {
        return Err(format!("ERR a library has at most {FUNCTIONS_MAX} functions"));
    }
    let mut flags = Flags::default();
    for at in 1_usize.. {
        match given.raw_get::<mlua::Value>(at) {
            Ok(mlua::Value::String(flag)) if flags.set(&text(&flag)) => {}
            Ok(mlua::Value::Nil) | Err(_) => break,
            Ok(_) => return Err("ERR unknown flag given".into()),
        }
    }
    let description = description.map(|of| text(&of));
    all.push((FunctionInfo { name, description, flags }, function));
    Ok(())
}

fn keep_only(table: &Table, names: &[&str]) -> mlua::Result<()> {
    let mut others = Vec::new();
    for pair in table.pairs::<mlua::Value, mlua::Value>() {
        let (key, _) = pair?;
        let is_kept =
            matches!(&key, mlua::Value::String(key) if names.iter().any(|name| key == name));
        if !is_kept {
            others.push(key);
        }
    }
    others.into_iter().try_for_each(|key| table.raw_set(key, mlua::Value::Nil))
}

/// `load` and `loadstring`, of source text only.
fn load_function(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = Rc::clone(shared);
    lua.create_function(move |lua, (source, name): (mlua::Value, Option<mlua::LuaString>)| {
        let refused = |text: String| {
            let text = mlua::Value::String(lua.create_string(text)?);
            Ok(MultiValue::from_iter([mlua::Value::Nil, text]))
        };
        let mlua::Value::String(source) = source else {
            return refused("only source text can be loaded".into());
        };
        let name = match name {
            Some(name) => name.to_string_lossy(),
            None => "=(load)".into(),
        };
        let source = source.as_bytes();
        if source.len() > LOADED_BYTES_MAX {
            return refused(format!("source is longer than {LOADED_BYTES_MAX} bytes"));
        }
        let source = for_luau(&source);
        let chunk = lua.load(&*source).set_name(name).set_mode(ChunkMode::Text);
        match shared.load(|| chunk.into_function()) {
            Ok(function) => Ok(MultiValue::from_iter([mlua::Value::Function(function)])),
            Err(mlua::Error::SyntaxError { message, .. }) => refused(message),
            Err(error) => refused(plain(&error)),
        }
    })
}

/// `collectgarbage`: returns the memory in use; collection is automatic.
fn collectgarbage(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, what: Option<mlua::LuaString>| {
        Ok(match what {
            Some(what) if what == "count" => lua.used_memory() as f64 / 1024.0,
            _ => 0.0,
        })
    })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
