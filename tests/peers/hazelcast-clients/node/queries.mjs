// Maps: predicates, pages and aggregations.

import hazelcast from "hazelcast-client";
import { add } from "./case.mjs";
import { CompactPerson, PortablePerson } from "./objects.mjs";

const { Predicates: P, Aggregators: A } = hazelcast;

const NAMES = ["Ann", "Bob", "ann", "Cem", "Dörte", ""];
const AGES = [30, 40, 30, 7, -1, 99];

function person(form, number) {
  const [name, age, active, height] = [NAMES[number], AGES[number], number % 2 === 0, 1.5 + number / 8];
  switch (form) {
    case "json":
      return { name, age, active, height };
    case "portable":
      return new PortablePerson(name, age, active, height);
    default:
      return new CompactPerson(name, age, active, height);
  }
}

async function filled(it, form) {
  const entries = await it.client.getMap(it.fresh());
  for (const number of NAMES.keys()) await entries.set(String(number), person(form, number));
  return entries;
}

const PREDICATES = {
  true: () => P.alwaysTrue(),
  false: () => P.alwaysFalse(),
  equal: () => P.equal("name", "Ann"),
  "equal-number": () => P.equal("age", 30),
  "equal-text-of-a-number": () => P.equal("age", "30"),
  "equal-boolean": () => P.equal("active", true),
  "equal-null": () => P.equal("name", null),
  "equal-missing": () => P.equal("nothing", 1),
  "not-equal": () => P.notEqual("name", "Ann"),
  greater: () => P.greaterThan("age", 30),
  "greater-equal": () => P.greaterEqual("age", 30),
  less: () => P.lessThan("age", 30.5),
  "less-equal": () => P.lessEqual("age", 30),
  between: () => P.between("age", 7, 40),
  in: () => P.inPredicate("name", "Ann", "Cem", "nobody"),
  "in-mixed": () => P.inPredicate("age", 7, "40"),
  like: () => P.like("name", "A%"),
  ilike: () => P.ilike("name", "%NN"),
  regex: () => P.regex("name", "[A-C].*"),
  "regex-wrong": () => P.regex("name", "("),
  and: () => P.and(P.equal("age", 30), P.equal("name", "ann")),
  "and-of-nothing": () => P.and(),
  or: () => P.or(P.equal("age", 7), P.lessThan("age", 0)),
  "or-of-nothing": () => P.or(),
  not: () => P.not(P.equal("age", 30)),
  key: () => P.greaterThan("__key", "3"),
  sql: () => P.sql("age >= 30 and name like 'A%'"),
  "sql-wrong": () => P.sql("age >>> and"),
  "instance-of": () => P.instanceOf("java.lang.String"),
};

const AGGREGATORS = {
  count: () => A.count(),
  "count-attribute": () => A.count("age"),
  distinct: () => A.distinct("age"),
  "integer-sum": () => A.integerSum("age"),
  "integer-avg": () => A.integerAvg("age"),
  "long-sum": () => A.longSum("age"),
  "fixed-point-sum": () => A.fixedPointSum("age"),
  "floating-point-sum": () => A.floatingPointSum("age"),
  "double-sum": () => A.doubleSum("height"),
  "double-avg": () => A.doubleAvg("height"),
  "number-avg": () => A.numberAvg("age"),
  max: () => A.max("age"),
  min: () => A.min("name"),
  missing: () => A.integerSum("nothing"),
};

for (const form of ["json", "portable", "compact"]) {
  for (const [name, make] of Object.entries(PREDICATES)) {
    add(`map.query-${form}-${name}`, async (it) => {
      const entries = await filled(it, form);
      await it.seeUnordered(() => entries.keySetWithPredicate(make()));
    });
  }
  for (const [name, make] of Object.entries(AGGREGATORS)) {
    add(`map.aggregate-${form}-${name}`, async (it) => {
      const entries = await filled(it, form);
      await it.see(async () => {
        const result = await entries.aggregate(make());
        // Distinct values have no order.
        return Array.isArray(result) ? new Set(result) : result;
      });
    });
  }
}

add("map.query-plain-values", async (it) => {
  const entries = await it.client.getMap(it.fresh());
  await entries.putAll(Array.from({ length: 10 }, (_, n) => [`k${n}`, n]));
  await it.seeUnordered(() => entries.keySetWithPredicate(P.greaterThan("this", 6)));
  await it.seeUnordered(() => entries.valuesWithPredicate(P.inPredicate("__key", "k1", "k2")));
  await it.seeUnordered(() => entries.entrySetWithPredicate(P.lessThan("this", 2)));
  await it.see(() => entries.removeAll(P.greaterThan("this", 3)));
  await it.see(() => entries.size());
  await it.see(() => entries.aggregateWithPredicate(A.count(), P.lessThan("this", 3)));
});

add("map.query-pages", async (it) => {
  const entries = await it.client.getMap(it.fresh());
  await entries.putAll(Array.from({ length: 25 }, (_, n) => [n, n * 2]));
  const page = P.paging(P.greaterThan("this", 9), 7);
  for (let number = 0; number < 4; number++) {
    await it.see(() => entries.keySetWithPredicate(page));
    page.nextPage();
  }
  page.setPage(1);
  await it.see(() => entries.valuesWithPredicate(page));
  page.previousPage();
  await it.see(() => entries.entrySetWithPredicate(page));
});

add("map.query-pages-of-an-empty-map", async (it) => {
  const entries = await it.client.getMap(it.fresh());
  await it.see(() => entries.keySetWithPredicate(P.paging(P.alwaysTrue(), 7)));
  await it.see(() => entries.keySetWithPredicate(P.paging(P.alwaysTrue(), 0)));
});
