//! Harnesses of the decoders that scripts call, and of the source of scripts.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::*;

/// How long a harmless script may take.
const LONG: Duration = Duration::from_secs(20);

/// How long an arbitrary script may take.
const SHORT: Duration = Duration::from_millis(20);

/// Compares two values: tables by what they contain, to a depth of 15; numbers as far as JSON
/// writes them.
const SAME: &str = "
    local function same(a, b, depth)
        if type(a) == 'number' and type(b) == 'number' then
            return a == b or (a ~= a and b ~= b) or math.abs(a - b) <= math.abs(a) * 1e-12
        end
        if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
        if depth == 15 then return true end
        -- A table as a key is equal to itself only.
        for k, v in pairs(a) do
            if type(k) ~= 'table' and not same(v, b[k], depth + 1) then return false end
        end
        for k in pairs(b) do if type(k) ~= 'table' and a[k] == nil then return false end end
        return true
    end
";

/// No commands.
struct Nothing;

impl Commands for Nothing {
    fn call(&mut self, _: Words<'_>) -> Result<Value, Interrupt> {
        Ok(Value::Nil)
    }

    fn is_allowed(&mut self, _: Words<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}
}

/// An engine that runs many scripts.
struct Runner(AssertUnwindSafe<RefCell<Engine>>);

impl Runner {
    fn new() -> Self {
        Self(AssertUnwindSafe(RefCell::new(Engine::new("8.2.0").unwrap())))
    }

    fn run(&self, script: &Script, args: &[&[u8]], time: Duration) -> Result<Value, Failure> {
        let limits = Limits {
            deadline: Instant::now() + time,
            memory_bytes_max: 32 * 1024 * 1024,
            reply_bytes_max: 1024 * 1024,
            stop: None,
        };
        self.0.borrow_mut().run(
            script,
            std::iter::empty(),
            args.iter().copied(),
            &limits,
            &mut Nothing,
        )
    }

    /// Runs a script that returns `same`, or raises an error because an argument cannot be decoded.
    fn expect_same(&self, script: &Script, args: &[&[u8]]) {
        match self.run(script, args, LONG) {
            Ok(Value::Bulk(text)) => assert_eq!(text.escape_ascii().to_string(), "same"),
            Err(Failure::Error(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn script(source: &str) -> Script {
    Script::new(Bytes::from(format!("{SAME}{source}"))).unwrap()
}

#[test]
fn fuzz_json() {
    let script = script(
        "local value = cjson.decode(ARGV[1])
        local encodes, text = pcall(cjson.encode, value)
        if not encodes or same(value, cjson.decode(text), 0) then return 'same' end
        return text",
    );
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let samples = [
        r#"{"name": "caf\u00e9 \ud83d\ude00", "list": [1, -2.5e3, 1e-7, true, null], "none": {}}"#,
        r#"[[], [[1], {"a": {"b": []}}], "\\\"\/\b\f\n\r\t\u0000"]"#,
        "  -0.1E+5 ",
        "[nan, inf, -Infinity, +1, 0x10, 01]",
        r#"{"1": 1, "2": 2, "": false}"#,
        &deep,
    ];
    let runner = Runner::new();
    convoke_harness::check!(&samples, |bytes| runner.expect_same(&script, &[bytes]));
}

#[test]
fn fuzz_msgpack() {
    let script = script(
        "local values = {cmsgpack.unpack(ARGV[1])}
        local packed = cmsgpack.pack(values)
        if same(values, (cmsgpack.unpack(packed)), 0) then return 'same' end
        return packed",
    );
    let samples: [&[u8]; 8] = [
        b"\x01\xff\xcc\x80\xcd\x01\x00\xce\x00\x01\x00\x00\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
        b"\xca\x3f\x00\x00\x00\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xc3\xc2",
        b"\xa3abc\xd9\x04text\xda\x00\x02ab\xdb\x00\x00\x00\x01x\xc4\x01b",
        b"\x93\x01\xc0\x92\xa1a\x02\x82\xa1k\x01\x02\xa1v",
        b"\xdc\x00\x02\x01\x02\xde\x00\x01\xa1a\x90\xdf\x00\x00\x00\x01\x01\x80",
        b"\xdd\xff\xff\xff\xff\x01\xdb\xff\xff\xff\xffx",
        &[0x91; 40],
    ];
    let runner = Runner::new();
    convoke_harness::check!(&samples, |bytes| runner.expect_same(&script, &[bytes]));
}

/// The first byte of an input is the length of the format; the data is behind it.
#[test]
fn fuzz_struct() {
    let script = script(
        "local values = {struct.unpack(ARGV[1], ARGV[2])}
        local next = values[#values]
        if next < 1 or next > #ARGV[2] + 1 then return 'ends at ' .. next end
        local sized, size = pcall(struct.size, ARGV[1])
        if sized and size ~= next - 1 then return 'the size is ' .. size end
        -- For c0, other values are packed than are unpacked.
        if ARGV[1]:find('c0', 1, true) then return 'same' end
        -- Larger whole numbers are rounded, and may not fit any more.
        for _, v in pairs(values) do
            if type(v) == 'number' and math.abs(v) >= 2^53 then return 'same' end
        end
        local packs, packed = pcall(struct.pack, ARGV[1], unpack(values))
        if not packs then return 'same' end
        local unpacks, again = pcall(function() return {struct.unpack(ARGV[1], packed)} end)
        if not unpacks or same(values, again, 0) then return 'same' end
        return packed",
    );
    let samples: [&[u8]; 7] = [
        b"\x04!2I7\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a>bBhHiIlLTd0123456789012345678901234567890123456789",
        b"\x08<!4bI3fs\x01000123\x00\x00\x80\x3ftext\x00",
        b"\x05Bc0xs\x03abc?rest\x00",
        b"\x06=c3i8xabc01234567?",
        b"\x09i16c99999\xff\xff\xff\xff",
        b"\x0d!8c4294967295x12345678",
    ];
    let runner = Runner::new();
    convoke_harness::check!(&samples, |bytes| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (format, data) = rest.split_at(rest.len().min(usize::from(*length)));
        runner.expect_same(&script, &[format, data]);
    });
}

/// A script, or a library: its first line is read, and it is compiled and run. Whatever it does,
/// the next script runs as usual.
#[test]
fn fuzz_source() {
    let samples = [
        "#!lua flags=no-writes,allow-stale\nreturn redis.call('get', KEYS[1])",
        "#!lua name=lib\nredis.register_function('f', function(keys, args) return args end)",
        "local t = {} for i = 1, 10 do t[i] = string.rep('x', i) end return t",
        "return {1, 2.5, 'three', {ok = 'OK'}, {err = 'ERR no'}, false, nil, 8}",
        "return string.format('%5.2f|%-8s|%q', 1, 'a', '\\0\"') .. ('ab'):gsub('(a)(b)', '%2%1')",
        "redis.setresp(3) return {map = {a = 1}, double = 0.5} -- ?",
        "while true do pcall(error, {err = 'x'}) end",
    ];
    let runner = Runner::new();
    let usual = script("return tostring(cjson.encode({1}) .. #redis.sha1hex(''))");
    convoke_harness::check!(&samples, |source| {
        let source = Bytes::copy_from_slice(source);
        let _ = Library::new(source.clone());
        if let Ok(script) = Script::new(source) {
            let _ = runner.run(&script, &[], SHORT);
        }
        let reply = runner.run(&usual, &[], LONG);
        assert_eq!(reply, Ok(Value::Bulk(Bytes::from_static(b"[1]40"))));
    });
}
