use super::*;

/// Runs a source with `native`, the functions of Luau, and `host`, those that take all patterns for
/// long ones.
fn run(source: &str) -> mlua::Result<String> {
    let lua = Lua::new();
    let host = lua.create_table()?;
    add(&lua, &host, &Rc::default(), &Rc::default())?;
    host.raw_set("name", "convoke")?;
    host.raw_set("PRODUCT_MAX", -1)?;
    let is_long = lua.create_function(|_: &Lua, ()| Ok((true, true)))?;
    host.raw_set("is_long", is_long)?;
    let natives = "local all = {} for name, f in string do all[name] = f end return all";
    let native: Table = lua.load(natives).call(())?;
    lua.load(include_str!("../strings.lua")).call::<()>(host)?;
    lua.globals().raw_set("native", native)?;
    lua.globals().raw_set("host", lua.globals().raw_get::<Table>("string")?)?;
    lua.load(source).call(())
}

/// Compares the results of both for a text and a pattern; tables and functions replace as well.
const SAME: &str = r#"
    local count = 0
    local function results(of, name, ...)
        local all = table.pack(pcall(of[name], ...))
        if all[1] and name == 'gmatch' then
            local next = all[2]
            all = {}
            for _ = 1, 100 do
                local found = table.pack(pcall(next))
                if found[2] == nil then break end
                if not found[1] then all = found break end
                for at = 1, found.n do all[#all + 1] = tostring(found[at]) end
            end
        end
        for at = 1, all.n or #all do all[at] = tostring(all[at]) end
        -- An error has a position in one case.
        if all[1] == 'false' then
            all[2] = native.gsub(native.gsub(all[2], '^[^ ]*:%d+: ', ''), ' at .*', '')
        end
        return table.concat(all, '|')
    end
    local function check(name, ...)
        local expected, found = results(native, name, ...), results(host, name, ...)
        -- The host reads all of a pattern first, so it may refuse what Luau does not reach.
        local is_early = native.find(found, '^false|')
        if expected ~= found and not is_early then
            local args = table.pack(...)
            for at = 1, args.n do args[at] = tostring(args[at]) end
            error(name .. '(' .. table.concat(args, ', ') .. '): ' .. expected .. ' but ' .. found)
        end
        count += 1
    end
    function same(s, pattern)
        for _, init in {1, 2, -3, 0, -100, 100, #s, #s + 1, 2.5} do
            check('find', s, pattern, init)
            check('match', s, pattern, init)
            check('find', s, pattern, init, true)
        end
        check('find', s, pattern) check('match', s, pattern) check('gmatch', s, pattern)
        for _, new in {'<%0%%>', '<%1>', '', 'x', '%2', 7} do
            check('gsub', s, pattern, new)
            check('gsub', s, pattern, new, 2)
        end
        check('gsub', s, pattern, 'x', 0)
        check('gsub', s, pattern, function(...) return (...) and select('#', ...) end)
        check('gsub', s, pattern, function() end)
        check('gsub', s, pattern, {a = 'A', ab = 5, [1] = 'first'})
        return count
    end
"#;

#[test]
fn patterns_match_as_those_of_luau() {
    let source = r#"
        local count
        for _, pattern in {
            '[ab]+', '([ab]*)', '()([ab]+)()', '%f[ab][ab]+', '%f[%z]', '[^ab]+', '^[^ab]+', '^', '$', '^$',
            '%b()[a ]*', '%b[]%s*[a;]*', '([ab])%1', '(a(b*))(%2)', '[ab]-c', '[ab]?%%', '[a%]]+', '[]]',
            '[a]b]', '[^]]+', '[a-c]+$', '[a%-]+', '[a-]+', '[-a]', '[%a-z]', '%[([ab]+)%]', '()', '(()a)',
            '([ab]+)([^ab]*)', '[a%s]+', '[a%S]+', '%W', '%x+', '%p%c*', '%g', '%u', '[az]*$', '.-([ab]+)%p',
            '[a%w]+ ?= ?', 'x[a]+', '', 'a$b', 'a^', '.', 'a', 'ab', '%a+%(', 'a*', 'a-', 'a-b', 'b?a',
            '(.)(.)', '%', '[a', '[^', '[%', '(a', 'a)', '%f', '%fa', '%b', '%bx', '%1', '(a%1)', '%2(a)',
        } do
            for _, s in {'foo(abba) = [aab]; bab%a-c ', '', 'a', 'aaab\0b', 'a^a$b]'} do
                count = same(s, pattern)
            end
        end
        return tostring(count)"#;
    assert_ne!(run(&format!("{SAME} {source}")).unwrap(), "0");
}

#[test]
fn arbitrary_patterns_match_as_those_of_luau() {
    let source = r#"
        math.randomseed(1)
        local parts = {'a', 'b', '.', '%a', '[ab]', '[^a]', '*', '+', '-', '?', '(', ')', '()', '%1', '$', '^', '%b()',
            '%f[a]', '[a-', ']', '%', 'a*', '.-', '(a)', '(.-)', '[%w_]', ' '}
        for _ = 1, 300 do
            local pattern, s = '', ''
            for _ = 1, math.random(6) do pattern ..= parts[math.random(#parts)] end
            for _ = 1, math.random(12) do s ..= native.sub('aab() _', math.random(7), -1) end
            same(s, pattern)
        end
        return 'same'"#;
    assert_eq!(run(&format!("{SAME} {source}")).unwrap(), "same");
}
