import assert from 'node:assert/strict';
import test from 'node:test';

import { parse } from '../src/xml.js';

test('elements, text and references', () => {
  const root = parse(`<?xml version="1.0"?>
    <!-- a comment with <tags> -->
    <r xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><e/><e a="b" />
      <item><name> a &lt;b&gt; &amp;amp; &#65;&#x42; &nbsp; </name></item><item><name></name></item>
    </r>`);
  assert.equal(root.name, 'r');
  assert.equal(root.all('e').length, 2);
  assert.deepEqual(root.all('item', 'name').map((e) => e.text), ['a <b> &amp; AB &nbsp;', '']);
  assert.equal(root.first('item', 'name'), 'a <b> &amp; AB &nbsp;');
  assert.equal(root.first('missing'), undefined);
});

test('invalid XML is rejected', () => {
  const wrong = [
    '', 'text', '<a>', '<a></b>', '</a>', '<a', '<a/><b/>', '<!DOCTYPE a><a/>', '<a><![CDATA[x]]></a>',
    '<!-- a', '<a>'.repeat(100), '{"a": 1}',
  ];
  for (const text of wrong) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});

test('other elements are skipped', () => {
  const xml = '<r><a><b><c>1</c></b></a><x/><c>2</c><y><r>3</r></y></r>';
  const root = parse(xml, new Set(['r', 'c']));
  assert.deepEqual(root.children.map((e) => [e.name, e.text]), [['c', '2']]);
  assert.throws(() => parse('<r><a></r>', new Set(['r'])), SyntaxError);
});
