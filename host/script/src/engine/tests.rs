use std::time::Duration;

use super::*;
use crate::sha1_hex;

/// Answers a few commands, and records what was called.
#[derive(Default)]
struct Fake {
    calls: Vec<Vec<Vec<u8>>>,
    logged: Vec<(LogLevel, Vec<u8>)>,
    interrupts: bool,
}

impl Commands for Fake {
    fn call(&mut self, words: Words<'_>) -> Result<Value, Interrupt> {
        let args: Vec<&[u8]> = words.iter().collect();
        if self.interrupts {
            return Err(Interrupt);
        }
        self.calls.push(args.iter().map(|arg| arg.to_vec()).collect());
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        Ok(match args[0] {
            b"get" => bulk("value"),
            b"missing" => Value::Nil,
            b"fail" => Value::error("WRONGTYPE Operation against a key"),
            b"echo" => Value::Bulk(Bytes::copy_from_slice(args[1])),
            b"hgetall" => Value::Map(vec![(bulk("field"), bulk("x"))]),
            b"smembers" => Value::Set(vec![bulk("a")]),
            b"score" => Value::Double(1.5),
            b"count" => Value::Integer(7),
            _ => Value::status("OK"),
        })
    }

    fn is_allowed(&mut self, words: Words<'_>) -> Option<bool> {
        let name = words.get(0).unwrap();
        (name != b"nosuch").then_some(name == b"get")
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push((level, text.to_vec()));
    }
}

fn limits() -> Limits {
    Limits {
        deadline: Instant::now() + Duration::from_secs(20),
        memory_bytes_max: 32 * 1024 * 1024,
        reply_bytes_max: 16 * 1024 * 1024,
        stop: None,
    }
}

fn script(source: &str) -> Script {
    Script::new(Bytes::copy_from_slice(source.as_bytes())).unwrap()
}

/// Keys or arguments.
fn list<'w>(words: &'w [&str]) -> impl ExactSizeIterator<Item = &'w [u8]> + Clone {
    words.iter().map(|word| word.as_bytes())
}

fn run_in(engine: &mut Engine, source: &str) -> Result<Value, Failure> {
    engine.run(&script(source), list(&["k1", "k2"]), list(&["a1"]), &limits(), &mut Fake::default())
}

fn run(source: &str) -> Result<Value, Failure> {
    run_in(&mut Engine::new("8.2.0").unwrap(), source)
}

/// The text that a script returns.
fn text(source: &str) -> String {
    match run(source) {
        Ok(Value::Bulk(text)) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{source}: {other:?}"),
    }
}

/// The error of a script, without the checksum of its source.
fn error(source: &str) -> String {
    match run(source) {
        Err(Failure::Error(text)) => {
            String::from_utf8(text.to_vec()).unwrap().replace(&sha1_hex(source.as_bytes()), "SHA")
        }
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn values_become_replies() {
    assert_eq!(run("return 100.9"), Ok(Value::Integer(100)));
    assert_eq!(run("return true"), Ok(Value::Integer(1)));
    assert_eq!(run("return false"), Ok(Value::Nil));
    assert_eq!(run("redis.setresp(3) return false"), Ok(Value::Boolean(false)));
    assert_eq!(run("return {ok='fine'}"), Ok(Value::status("fine")));
    assert_eq!(run("return {err='ERR no\\r\\nway\\n'}"), Ok(Value::error("ERR no  way")));
    assert_eq!(run("return {double=1.5}"), Ok(Value::Double(1.5)));
    assert_eq!(run("return {1,nil,3}"), Ok(Value::Array(vec![Value::Integer(1)])));
    assert_eq!(
        run("return {map={a=1}}").map(|v| matches!(v, Value::Map(m) if m.len() == 1)),
        Ok(true)
    );
    assert_eq!(
        run("return {set={a=true}}").map(|v| matches!(v, Value::Set(s) if s.len() == 1)),
        Ok(true)
    );
    assert_eq!(run("return _G"), Ok(Value::Array(vec![])));
    assert!(run("return print ~= nil").is_err());
    assert_eq!(
        run("return setmetatable({}, {__index = function() foo() end})"),
        Ok(Value::Array(vec![]))
    );
    assert_eq!(
        run("local a = {} local b = {a} a[1] = b return a"),
        Err(Failure::error("ERR reached lua stack limit"))
    );
    assert_eq!(
        run("local a = {} for i = 1, 100 do a[i] = a end return a"),
        Err(Failure::error("ERR reached lua stack limit")),
    );
    let long =
        "local s = string.rep('x', 1000000) local a = {} for i = 1, 100 do a[i] = s end return a";
    assert_eq!(run(long), Err(Failure::error("ERR the reply of the script is too long")));
}

#[test]
fn what_the_host_adds_counts_towards_the_memory_limit() {
    let mut engine = Engine::new("8.2.0").unwrap();
    let limits = Limits { memory_bytes_max: 8 << 20, ..limits() };
    let mut run = |source: &str, arg: &str| {
        let args = [arg];
        engine.run(&script(source), list(&[]), list(&args), &limits, &mut Fake::default())
    };
    let no_memory = |result: Result<Value, Failure>| match result {
        Err(Failure::Error(text)) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.starts_with("ERR not enough memory"), "{text}");
        }
        other => panic!("{other:?}"),
    };
    no_memory(run("return #ARGV[1]", &"x".repeat(16 << 20)));
    let keeps = "local all = {} for i = 1, 100 do all[i] = redis.call('echo', ARGV[1] .. i) end";
    no_memory(run(keeps, &"x".repeat(1 << 20)));
    // It does not depend on what failed.
    assert_eq!(run("return #redis.call('echo', ARGV[1])", "text"), Ok(Value::Integer(4)));
}

#[test]
fn what_a_script_no_longer_refers_to_does_not_count() {
    // The memory is enough for none of them if nothing is collected.
    for source in [
        "for i = 1, 30 do local s = string.rep('x', 3e6) .. i end return 1",
        "local t = {} for i = 1, 60 do t[i] = string.rep(i .. 'x', 5e5) if i > 2 then t[i - 2] = nil end end return 1",
        "local t = {} for i = 1, 10 do t[i] = '3e6' end table.sort(t, function(a, b) return #string.rep(a, 2e6) < #b end) return 1",
        "for i = 1, 30 do redis.call('echo', ARGV[1]) end return 1",
        "for i = 1, 30 do local s = cjson.encode(ARGV[1]) end return 1",
        "local f = coroutine.wrap(function() for i = 1, 30 do local s = string.rep('x', 3e6) .. i end return 1 end) return f()",
        "for i = 1, 30 do local s = string.gsub(ARGV[1], '^x', 'yz') end return 1",
    ] {
        let mut engine = Engine::new("8.2.0").unwrap();
        let limits = Limits { deadline: Instant::now() + Duration::from_secs(60), ..limits() };
        let arg = "x".repeat(3_000_000);
        let args = [arg.as_str()];
        let result =
            engine.run(&script(source), list(&[]), list(&args), &limits, &mut Fake::default());
        assert_eq!(result, Ok(Value::Integer(1)), "{source}");
    }
}

#[test]
fn nothing_is_collected_while_code_is_loaded() {
    let engine = Engine::new("8.2.0").unwrap();
    // Garbage is collected at each interrupt, as if the state were always at its limit.
    *engine.shared.limits.borrow_mut() = Some(Limits { memory_bytes_max: 0, ..limits() });
    engine.shared.collect_above.set(0);
    // The unknown name is looked up while nothing refers to the functions.
    let source = "
        local many = 'return {' .. string.rep('function() return 1 end,', 100) .. 'no_name.x}'
        for i = 1, 100 do assert(loadstring(many)) end";
    engine.lua.load(source).exec().unwrap();
    assert!(engine.shared.collect_above.get() > 0);
}

#[test]
fn replies_become_values() {
    assert_eq!(text("return type(redis.call('count')) .. redis.call('count')"), "number7");
    assert_eq!(text("return redis.call('set', 'a', 'b')['ok']"), "OK");
    assert_eq!(text("return tostring(redis.call('missing'))"), "false");
    assert_eq!(text("redis.setresp(3) return tostring(redis.call('missing'))"), "nil");
    assert_eq!(text("return table.concat(redis.call('hgetall', 'h'), ' ')"), "field x");
    assert_eq!(text("redis.setresp(3) return redis.call('hgetall', 'h').map.field"), "x");
    assert_eq!(text("redis.setresp(3) return tostring(redis.call('smembers', 's').set.a)"), "true");
    assert_eq!(text("return redis.call('score', 's')"), "1.5");
    assert_eq!(run("redis.setresp(3) return redis.call('score', 's')"), Ok(Value::Double(1.5)));
}

#[test]
fn keys_arguments_and_numbers_arrive_as_they_are() {
    assert_eq!(text("return KEYS[1] .. KEYS[2] .. ARGV[1] .. #KEYS .. #ARGV"), "k1k2a121");
    let mut engine = Engine::new("8.2.0").unwrap();
    let mut fake = Fake::default();
    let source = script("redis.call('set', KEYS[1], 9007199254740991, 0.1, 'x\\0y', 3)");
    engine.run(&source, list(&["k"]), list(&[]), &limits(), &mut fake).unwrap();
    let expected: [&[u8]; 6] = [b"set", b"k", b"9007199254740991", b"0.1", b"x\0y", b"3"];
    assert_eq!(fake.calls, [expected.map(<[u8]>::to_vec).to_vec()]);
}

#[test]
fn errors_name_what_where_and_which_script() {
    assert_eq!(
        error("\nredis.call('fail')"),
        "WRONGTYPE Operation against a key script: SHA, on @user_script:2."
    );
    assert_eq!(
        error("return foo"),
        "ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: SHA, on @user_script:1."
    );
    assert_eq!(error("error('x')"), "ERR user_script:1: x script: SHA, on @user_script:1.");
    assert_eq!(error("error({err='MY error'})"), "MY error script: SHA, on @user_script:1.");
    assert!(error("error(5)").starts_with("ERR "), "{}", error("error(5)"));
    assert!(error("return redis.call()").contains("at least one argument"));
    assert!(error("return redis.call({})").contains("must be strings or integers"));
    assert!(error("redis.sha1hex()").contains("wrong number"));
    assert!(
        error("return (").starts_with("ERR Error compiling script (new function): user_script:1:")
    );
}

#[test]
fn errors_of_commands_differ_from_those_of_the_script() {
    let mut engine = Engine::new("8.2.0").unwrap();
    for (source, is_of_command) in [
        ("return redis.call('fail')", true),
        ("return redis.pcall('fail')", true),
        ("local e = redis.pcall('fail') error(e)", true),
        ("local e = redis.pcall('fail') return {err = e.err}", false),
        ("redis.pcall('fail') error('own')", false),
        ("redis.pcall('fail') return redis.error_reply('own')", false),
        ("redis.pcall('fail') return 1", false),
        ("return redis.call({})", false),
        ("return redis.call('fail')", true),
        ("does not compile", false),
    ] {
        let _ = run_in(&mut engine, source);
        assert_eq!(engine.has_passed_on_an_error(), is_of_command, "{source}");
    }
}

#[test]
fn errors_can_be_caught() {
    assert_eq!(text("return redis.pcall('fail').err"), "WRONGTYPE Operation against a key");
    assert_eq!(
        text("local ok, e = pcall(redis.call, 'fail') return e"),
        "WRONGTYPE Operation against a key"
    );
    assert_eq!(
        text("local ok, e = xpcall(redis.call, function(e) return e.err end, 'fail') return e"),
        "WRONGTYPE Operation against a key"
    );
    assert_eq!(text("local ok, e = pcall(error, {err = 'own'}) return e"), "own");
    assert_eq!(text("local ok, e = pcall(error, {own = 'table'}) return e.own"), "table");
    assert_eq!(text("return table.concat({select(2, pcall(unpack, {1, 2, 3}))})"), "123");
    let caught = "local ok, e = pcall(function() return foo end) return 'status: ' .. tostring(ok) .. ' ' .. e";
    assert!(
        text(caught).starts_with("status: false user_script:1: Script attempted"),
        "{}",
        text(caught)
    );
    assert_eq!(
        text("local ok, e = pcall(cjson.decode, '[1') return e"),
        "Expected comma or array end but found T_END at character 3"
    );
    assert!(
        text("local ok, e = pcall(function() cjson.encode(print_) end) return e")
            .contains("print_")
    );
}

#[test]
fn nothing_can_be_changed_for_the_next_script() {
    for source in [
        "a = 10",
        "redis = 1",
        "redis.call = function() end",
        "cjson.encode = function() end",
        "string.len = nil",
        "math.huge = 1",
        "_G = {}",
        "setmetatable(_G, {})",
        "getmetatable(_G).__index = {}",
        "rawset(_G, 'a', 1)",
        "getmetatable('').__index = {}",
        "os.clock = nil",
        "table.insert(_G, 1)",
    ] {
        assert!(
            error(source).contains("Attempt to modify a readonly table"),
            "{source}: {}",
            error(source)
        );
    }
    let mut engine = Engine::new("8.2.0").unwrap();
    assert_eq!(
        run_in(&mut engine, "KEYS[1] = 'changed' KEYS = {} return 1"),
        Ok(Value::Integer(1))
    );
    let again = run_in(&mut engine, "KEYS[1] = 'changed' KEYS = {} return 1");
    assert_eq!(again, Ok(Value::Integer(1)));
    assert_eq!(run_in(&mut engine, "return KEYS[1]"), Ok(Value::Bulk("k1".into())));
    run_in(&mut engine, "cjson.encode_max_depth(1)").unwrap();
    assert!(run_in(&mut engine, "return cjson.encode({a={b={}}})").is_ok());
}

#[test]
fn nothing_outside_is_reached() {
    for name in [
        "print", "dofile", "loadfile", "require", "io", "debug", "package", "getfenv", "setfenv",
        "newproxy", "buffer", "bit32", "utf8", "vector", "gcinfo", "typeof",
    ] {
        let text = error(&format!("return {name}.x"));
        let expected = format!("nonexistent global variable '{name}'");
        assert!(text.contains(&expected), "{text}");
    }
    assert_eq!(text("local n = 0 for _ in pairs(os) do n = n + 1 end return tostring(n)"), "1");
    assert!(error("return loadstring(string.dump(function() end))()").contains("call a nil value"));
    assert_eq!(text("return (loadstring('return ...'))('x')"), "x");
    assert_eq!(text("local f, e = loadstring('return (') return tostring(f)"), "nil");
}

#[test]
fn a_script_that_does_not_end_is_stopped() {
    let mut engine = Engine::new("8.2.0").unwrap();
    for source in [
        "while true do end",
        "repeat until false",
        "local function f() f() end while true do pcall(f) end",
        "return (string.rep('a', 300)):find(string.rep('a*', 30) .. 'b')",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(redis.call, 'get', 'x') end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "for i = 1, 1e18 do end",
        "local s = string.rep('a', 50) while true do s:find('a*a*a*a*a*b') end",
        "xpcall(function() while true do end end, function() while true do end end)",
        // Functions of the host and of Luau that are not interrupted themselves.
        "local a = string.rep('a', 4e6) local b = string.rep('a', 1e6) .. 'b' while true do a:find(b, 1, true) end",
        "local a = string.rep('a', 4e6) local b = string.rep('a', 1e6) .. 'b' while true do a:find(b) end",
        "local a, p = string.rep('a', 5e6), '[' .. string.rep('b', 5e5) .. 'a]*' while true do a:find(p) end",
        "local a, p = string.rep('a', 5e6), '[' .. string.rep('b', 5e5) .. 'a]*' while true do a:match(p) end",
        "local a, p = string.rep('a', 5e6), '[' .. string.rep('b', 5e5) .. 'a]*' while true do pcall(string.gsub, a, p, '') end",
        "local a, p = string.rep('a', 5e6), '[' .. string.rep('b', 5e5) .. 'a]*' while true do for x in a:gmatch(p) do end end",
        "return string.rep('a', 1e4):gsub('(x*)', string.rep('%1', 1e6))",
        "local a = string.rep('x', 8e6) local b, t = a .. 'b', {} a = a .. 'a' for i = 1, 1e5 do t[i] = i % 2 == 0 and a or b end table.sort(t)",
        "local t = {} for i = 1, 1e5 do t[i] = '3e6' end table.sort(t, string.rep)",
        "local s, t = string.rep('1', 8e6), {} for i = 1, 7000 do t[i] = s end while true do pcall(math.max, unpack(t)) end",
        "local s, t = string.rep(' ', 8e6) .. 1, {} for i = 1, 7000 do t[i] = s end while true do pcall(string.format, string.rep('%d', 7000), unpack(t)) end",
        "local s, t = string.rep(' ', 8e6) .. 1, {} for i = 1, 7000 do t[i] = s end while true do pcall(string.char, unpack(t)) end",
        "local s, t = string.rep('1', 8e6), {} for i = 1, 7000 do t[i] = s end while true do pcall(bit.band, unpack(t)) end",
        "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 4 do local u = {} for j = 1, 100 do u[j] = t end t = u end return cmsgpack.pack(t)",
        "local s = string.rep('x', 8e6) while true do pcall(redis.sha1hex, s) end",
        "local s = string.rep('x', 8e6) while true do pcall(struct.pack, 's', s) end",
        "local s = cjson.encode(string.rep('x', 8e6)) while true do pcall(cjson.decode, s) end",
        "local s = '[' .. string.rep('{},', 1e5) .. '1]' while true do pcall(cjson.decode, s) end",
        "local s = '\\221\\0\\1\\0\\0' .. string.rep('\\0', 65536) while true do pcall(cmsgpack.unpack, s) end",
        "local s = string.rep('x', 8e6) while true do struct.size(s) end",
        "local t = {} for i = 1, 3e5 do t[i] = i end while true do table.sort(t) end",
        "local t = {} for i = 1, 3e5 do t[i] = i end while true do table.insert(t, 1, table.remove(t)) end",
    ] {
        let limits = Limits { deadline: Instant::now() + Duration::from_millis(50), ..limits() };
        let result =
            engine.run(&script(source), list(&[]), list(&[]), &limits, &mut Fake::default());
        assert_eq!(result, Err(Failure::TimedOut), "{source}");
        let stopped = Limits { stop: Some(Arc::new(AtomicBool::new(true))), ..self::limits() };
        let result =
            engine.run(&script(source), list(&[]), list(&[]), &stopped, &mut Fake::default());
        assert_eq!(result, Err(Failure::Stopped), "{source}");
    }
    assert_eq!(run_in(&mut engine, "return 1"), Ok(Value::Integer(1)));
}

#[test]
fn long_texts_are_searched_as_short_ones() {
    // Both numbers are short: one is above the bound from which the host searches.
    let source = "
        local short, long = string.rep('xy', 10), string.rep('xy', 600000)
        local function all(s)
            local e, results = #s, {}
            local function add(...) for i = 1, select('#', ...) do
                local v = select(i, ...)
                results[#results + 1] = type(v) == 'number' and v > e / 2 and v - e or v or 'nil'
            end end
            add(s:find('', 1, true)) add(s:find('', e + 1, true)) add(s:find('', e + 2, true))
            add(s:find('xyx', 2, true)) add(s:find('xyx', -4)) add(s:find('xy', -1)) add(s:find('yy'))
            add(s:find('x.y', 1, true)) add(s:find('xy', -e - 5)) add(s:find('y', e)) add(s:find('x', 0))
            return table.concat(results, ' ')
        end
        assert(all(short) == all(long), all(short) .. ' | ' .. all(long))
        return all(long)";
    assert_eq!(text(source), "1 0 1 0 nil 3 5 -3 -1 nil nil nil 1 2 0 0 1 1");
}

#[test]
fn malformed_patterns_are_refused_also_for_long_texts() {
    for (pattern, expected) in [
        ("%", "malformed pattern (ends with '%')"),
        ("[a", "malformed pattern (missing ']')"),
        ("(a", "unfinished capture"),
        ("a+)", "invalid pattern capture"),
    ] {
        for padding in [0, 2_000_000] {
            let source = format!("return string.rep('a', {padding} + 9):find('{pattern}', 1)");
            assert!(error(&source).contains(expected), "{}", error(&source));
        }
    }
}

#[test]
fn many_elements_are_sorted_as_few() {
    let source = "
        for _, count in ipairs{3, 30, 3000, 20000, 140000} do
            local t, u = {}, {}
            for i = 1, count do t[i] = (i * 7919) % 100003 u[i] = 'k' .. t[i] end
            table.sort(t) table.sort(u)
            for i = 2, count do assert(t[i - 1] <= t[i] and u[i - 1] <= u[i]) end
            table.sort(t, function(a, b) return a > b end)
            for i = 2, count do assert(t[i - 1] >= t[i]) end
        end
        return 'sorted'";
    assert_eq!(text(source), "sorted");
    let mixed = "local t = {} for i = 1, COUNT do t[i] = i end t[2] = 'x' table.sort(t)";
    let of = |count: &str| {
        error(&mixed.replace("COUNT", count)).split_once(" script: ").unwrap().0.to_owned()
    };
    assert!(of("3").starts_with("ERR attempt to compare "), "{}", of("3"));
    assert!(of("3000").starts_with("ERR attempt to compare "), "{}", of("3000"));
    assert_eq!(
        text(
            "local t = {} for i = 1, 50 do t[i] = setmetatable({i = -i}, {__lt = function(a, b) return a.i < b.i end}) end table.sort(t) return tostring(t[1].i)"
        ),
        "-50"
    );
    assert!(error("table.sort(nil)").starts_with("ERR user_script:1: "));
    assert_eq!(
        text(
            "return tostring(table.foreachi({5, 6}, function(i, v) if i == 2 then return v end end))"
        ),
        "6"
    );
    assert_eq!(
        text("return tostring(table.foreach({a = 5}, function(k, v) return k .. v end))"),
        "a5"
    );
}

#[test]
fn arguments_of_strings_are_checked_with_the_position_of_the_script() {
    for source in [
        "('x'):find()",
        "string.match(nil, 'x')",
        "string.gsub({}, 'x', 'y')",
        "string.gmatch('x')",
    ] {
        assert!(error(source).starts_with("ERR user_script:1: "), "{}", error(source));
    }
    assert_eq!(text("return tostring(string.find(123, 2)) .. string.gsub(112, 1, 'x')"), "2xx2");
    assert_eq!(
        text(
            "return math.max('3', 2) .. math.min('3', 2) .. string.char('65') .. string.format('%d %s', '4', 5)"
        ),
        "32A4 5"
    );
    assert!(error("return math.max({})").starts_with("ERR user_script:1: "));
    assert!(error("cmsgpack.unpack(string.rep('\\0', 1e5))").contains("too many values to unpack"));
    assert_eq!(
        text("return (select(2, loadstring(string.rep(' ', 1e6))))"),
        "source is longer than 262144 bytes"
    );
}

#[test]
fn a_library_that_is_loaded_too_late_is_refused() {
    let mut engine = Engine::new("8.2.0").unwrap();
    let source = "#!lua name=late\nredis.register_function('f', function() return 1 end)";
    let late = Library::new(Bytes::from_static(source.as_bytes())).unwrap();
    let over = Limits { deadline: Instant::now(), ..limits() };
    assert_eq!(engine.load(&late, &over), Err("FUNCTION LOAD timeout".into()));
    assert_eq!(engine.load(&late, &limits()).map(|of| of.len()), Ok(1));
    // A function whose library does not end in time is stopped as its own code is.
    let source = "#!lua name=endless\nwhile true do end";
    let endless = Library::new(Bytes::from_static(source.as_bytes())).unwrap();
    let over = Limits { deadline: Instant::now() + Duration::from_millis(20), ..limits() };
    let called =
        engine.run_function(&endless, "f", list(&[]), list(&[]), &over, &mut Fake::default());
    assert_eq!(called, Err(Failure::TimedOut));
}

#[test]
fn an_interrupt_cannot_be_caught() {
    let mut engine = Engine::new("8.2.0").unwrap();
    let mut fake = Fake { interrupts: true, ..Fake::default() };
    let source = script("pcall(redis.call, 'get', 'a') redis.pcall('get', 'b') return 1");
    let result = engine.run(&source, list(&[]), list(&[]), &limits(), &mut fake);
    assert_eq!(result, Err(Failure::Interrupted));
    assert_eq!(fake.calls.len(), 0);
}

#[test]
fn memory_is_bounded() {
    let mut engine = Engine::new("8.2.0").unwrap();
    for source in [
        "local t = {} while true do t[#t + 1] = string.rep('x', 1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 1e9)",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local function f(n) local a, b, c = n, n, n return f(n + 1) + 1 end return f(1)",
        "return cjson.decode(string.rep('[', 1e6))",
        "return table.concat(setmetatable({}, {__index = function() return string.rep('x', 1e7) end}), 'x', 1, 100)",
    ] {
        let limits = Limits { deadline: Instant::now() + Duration::from_secs(20), ..limits() };
        let result =
            engine.run(&script(source), list(&[]), list(&[]), &limits, &mut Fake::default());
        assert!(matches!(result, Err(Failure::Error(_))), "{source}: {result:?}");
        assert_eq!(run_in(&mut engine, "return 1"), Ok(Value::Integer(1)), "after {source}");
    }
}

#[test]
fn what_scripts_leave_behind_is_collected() {
    let mut engine = Engine::new("8.2.0").unwrap();
    for _ in 0..50 {
        let source = "local t = {} for i = 1, 100000 do t[i] = {} end return #t";
        assert_eq!(run_in(&mut engine, source), Ok(Value::Integer(100_000)));
    }
    for at in 0..3 * COMPILED_MAX {
        run_in(&mut engine, &format!("return {at}")).unwrap();
    }
    engine.clear();
    assert!(engine.memory_bytes() < 4 * 1024 * 1024, "{}", engine.memory_bytes());
}

#[test]
fn the_libraries_are_those_of_redis() {
    assert_eq!(
        text("return table.concat(cjson.decode('[0.0, -5e3, -1, 0.3e-3, 1023.2, 0e10]'), ' ')"),
        "0 -5000 -1 0.0003 1023.2 0"
    );
    assert_eq!(
        text("return cjson.encode({1, 2.5, 'a/\\n', true, cjson.null})"),
        r#"[1,2.5,"a\/\n",true,null]"#
    );
    assert_eq!(text("return cjson.encode({}) .. cjson.encode({a = {}})"), r#"{}{"a":{}}"#);
    assert_eq!(text(r#"return cjson.decode('{"k": "\\u00e9\\ud83d\\ude00"}').k"#), "é😀");
    assert_eq!(text("return tostring(cjson.decode('null') == cjson.null)"), "true");
    assert_eq!(text("return cjson.decode('{\"k\": \"a\\tb\"}').k"), "a\tb");
    assert_eq!(text("return cjson.decode('[\"a' .. string.char(9, 1) .. 'b\"]')[1]"), "a\t\u{1}b");
    assert_eq!(text("return tostring(cjson.decode('0x10') + cjson.decode('-0xfF'))"), "-239");
    assert_eq!(text("return '\\u00e9\\x' .. loadstring([[return '\\z  b']])()"), "u00e9xz  b");
    assert_eq!(text("return tostring(pcall(cjson.encode, {[false] = 1}))"), "false");
    let hex = "local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end ";
    assert_eq!(text(&format!("{hex} return hex(cmsgpack.pack(0.1))")), "cb3fb999999999999a");
    assert_eq!(
        text(&format!("{hex} return hex(cmsgpack.pack(-1099511627776))")),
        "d3ffffff0000000000"
    );
    assert_eq!(
        text(&format!("{hex} return hex(cmsgpack.pack({{1, 'a', {{}}}}, true, nil))")),
        "9301a16190c3c0"
    );
    assert_eq!(
        text("local o, a = cmsgpack.unpack_one(cmsgpack.pack('x', 'y'), 0) return o .. a"),
        "2x"
    );
    assert_eq!(text("return tostring(select('#', cmsgpack.unpack(cmsgpack.pack(1, 2, 3))))"), "3");
    assert_eq!(
        text("return bit.tohex(bit.bxor(0xffffffff, 1)) .. bit.band(7, 3) .. bit.tohex(255, -2)"),
        "fffffffe3FF"
    );
    assert_eq!(
        text("return tostring(bit.lshift(1, 31)) .. bit.arshift(-8, 1) .. bit.rshift(-1, 28)"),
        "-2147483648-415"
    );
    assert_eq!(
        text(&format!("{hex} return hex(struct.pack('>hBc3sx', -2, 255, 'abcd', 'z'))")),
        "fffeff6162637a0000"
    );
    assert_eq!(
        text(
            "local a, b, n = struct.unpack('<i2I3', '\\254\\255\\1\\0\\1') return a .. ' ' .. b .. ' ' .. n"
        ),
        "-2 65537 6"
    );
    assert_eq!(
        text("return tostring(struct.size('!4bi')) .. struct.unpack('Bc0', '\\3abcd')"),
        "8abc"
    );
    assert!(error("struct.unpack('>I4', 'ab')").contains("data string too short"));
    assert_eq!(text("return redis.sha1hex('')"), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(
        text("return redis.error_reply('MY text').err .. redis.status_reply('s').ok"),
        "MY texts"
    );
    assert_eq!(
        text("return table.getn({1, 2}) .. _VERSION .. math.mod(7, 4) .. (unpack({'x'}))"),
        "2Lua 5.13x"
    );
    assert_eq!(
        text(
            "math.randomseed('10') local a = math.random() math.randomseed(10) return tostring(a == math.random())"
        ),
        "true"
    );
    assert_eq!(
        text(
            "return tostring(redis.acl_check_cmd('get', 'x')) .. tostring(redis.acl_check_cmd('set', 'x'))"
        ),
        "truefalse"
    );
    assert!(error("redis.acl_check_cmd('nosuch')").contains("Invalid command passed"));
}

#[test]
fn lines_are_logged() {
    let mut engine = Engine::new("8.2.0").unwrap();
    let mut fake = Fake::default();
    let source = script("redis.log(redis.LOG_WARNING, 'a', 1) redis.log(redis.LOG_DEBUG, 'b')");
    engine.run(&source, list(&[]), list(&[]), &limits(), &mut fake).unwrap();
    assert_eq!(
        fake.logged,
        [(LogLevel::Warning, b"a 1".to_vec()), (LogLevel::Debug, b"b".to_vec())]
    );
}

#[test]
fn a_library_registers_functions_that_are_called_by_name() {
    let mut engine = Engine::new("8.2.0").unwrap();
    let source = Bytes::from_static(
        b"#!lua name=lib\nlocal count = 0\nlocal function next() count = count + 1 return count end\nredis.register_function('one', function(keys, args) return {keys[1], args[1], next()} end)\nredis.register_function{function_name='two', callback=function() return redis.call('get') end, flags={'no-writes'}, description='d'}",
    );
    let library = Library::new(source).unwrap();
    assert_eq!(library.name, "lib");
    let functions = engine.load(&library, &limits()).unwrap();
    let names: Vec<_> = functions.iter().map(|of| (&*of.name, of.flags.no_writes)).collect();
    assert_eq!(names, [("one", false), ("two", true)]);
    let mut fake = Fake::default();
    let bulk = |text: &str| Value::Bulk(Bytes::copy_from_slice(text.as_bytes()));
    let one =
        engine.run_function(&library, "one", list(&["k"]), list(&["a"]), &limits(), &mut fake);
    assert_eq!(one, Ok(Value::Array(vec![bulk("k"), bulk("a"), Value::Integer(1)])));
    // Another engine loads it when it is called.
    let mut other = Engine::new("8.2.0").unwrap();
    let two = other.run_function(&library, "TWO", list(&[]), list(&[]), &limits(), &mut fake);
    assert_eq!(two, Ok(bulk("value")));
    let missing = other.run_function(&library, "three", list(&[]), list(&[]), &limits(), &mut fake);
    assert_eq!(missing, Err(Failure::error("ERR Function not found")));
    let refused_of = |source: &str| {
        let library = Library::new(Bytes::copy_from_slice(source.as_bytes())).unwrap();
        Engine::new("8.2.0").unwrap().load(&library, &limits()).unwrap_err()
    };
    let refused = |source: &'static str| refused_of(source);
    assert_eq!(refused("#!lua name=a\nreturn 1"), "No functions registered");
    for name in ["redis.call('get', 'x')", "math.random()", "getmetatable(_G)", "redis.setresp(3)"]
    {
        let missing = refused_of(&format!("#!lua name=a\nlocal x = {name}"));
        assert!(missing.contains("attempted to access nonexistent global variable"), "{missing}");
    }
    assert!(refused("#!lua name=a\nx = 1").contains("Attempt to modify a readonly table"));
    assert!(refused("#!lua name=a\nredis.register_function('a', function() end) redis.register_function('a', function() end)").contains("already exists"));
    assert!(refused("#!lua name=a\nwhile").starts_with("Error compiling function: user_function:"));
    assert!(
        error("redis.register_function('a', function() end)")
            .contains("attempt to call a nil value")
    );
}

#[test]
fn numbers_that_are_no_integers_are_the_least_one() {
    for (source, number) in [
        ("return 0/0", i64::MIN),
        ("return 1/0", i64::MIN),
        ("return 1e20", i64::MIN),
        ("return -1e20", i64::MIN),
        ("return 9223372036854775807", i64::MIN),
        ("return 9223372036854774784", 9_223_372_036_854_774_784),
        ("return -3.99", -3),
    ] {
        assert_eq!(run(source), Ok(Value::Integer(number)), "{source}");
    }
}
