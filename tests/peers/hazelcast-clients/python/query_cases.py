"""Maps: predicates, pages, aggregations and projections."""

from hazelcast import aggregator, predicate, projection
from hazelcast.core import HazelcastJsonValue

import objects
from case import case

NAMES = ["Ann", "Bob", "ann", "Cem", "Dörte", ""]
AGES = [30, 40, 30, 7, -1, 99]


def person(form, number):
    name, age, active, height = NAMES[number], AGES[number], number % 2 == 0, 1.5 + number / 8
    if form == "json":
        return HazelcastJsonValue({"name": name, "age": age, "active": active, "height": height})
    if form == "portable":
        return objects.PortablePerson(name, age, active, height)
    return objects.CompactPerson(name, age, active, height)


def filled(it, form):
    entries = it.client.get_map(it.fresh()).blocking()
    for number in range(len(NAMES)):
        entries.set(number, person(form, number))
    return entries


PREDICATES = {
    "true": predicate.true,
    "false": predicate.false,
    "equal": lambda: predicate.equal("name", "Ann"),
    "equal-number": lambda: predicate.equal("age", 30),
    "equal-text-of-a-number": lambda: predicate.equal("age", "30"),
    "equal-float": lambda: predicate.equal("height", 1.5),
    "equal-bool": lambda: predicate.equal("active", True),
    "equal-none": lambda: predicate.equal("name", None),
    "equal-missing": lambda: predicate.equal("nothing", 1),
    "not-equal": lambda: predicate.not_equal("name", "Ann"),
    "greater": lambda: predicate.greater("age", 30),
    "greater-or-equal": lambda: predicate.greater_or_equal("age", 30),
    "less": lambda: predicate.less("age", 30),
    "less-or-equal": lambda: predicate.less_or_equal("age", 30),
    "less-float": lambda: predicate.less("age", 30.5),
    "between": lambda: predicate.between("age", 7, 40),
    "in": lambda: predicate.in_("name", "Ann", "Cem", "nobody"),
    "in-mixed": lambda: predicate.in_("age", 7, 99.0, "40"),
    "like": lambda: predicate.like("name", "A%"),
    "like-none": lambda: predicate.like("name", None),
    "ilike": lambda: predicate.ilike("name", "%NN"),
    "regex": lambda: predicate.regex("name", "[A-C].*"),
    "regex-wrong": lambda: predicate.regex("name", "("),
    "and": lambda: predicate.and_(predicate.equal("age", 30), predicate.equal("name", "ann")),
    "and-of-nothing": predicate.and_,
    "or": lambda: predicate.or_(predicate.equal("age", 7), predicate.less("age", 0)),
    "or-of-nothing": predicate.or_,
    "not": lambda: predicate.not_(predicate.equal("age", 30)),
    "key": lambda: predicate.greater("__key", 3),
    "sql": lambda: predicate.sql("age >= 30 and name like 'A%'"),
    "sql-wrong": lambda: predicate.sql("age >>> and"),
    "instance-of": lambda: predicate.instance_of("java.lang.String"),
}

AGGREGATORS = {
    "count": aggregator.count,
    "count-attribute": lambda: aggregator.count("age"),
    "distinct": lambda: aggregator.distinct("age"),
    "int-sum": lambda: aggregator.int_sum("age"),
    "int-avg": lambda: aggregator.int_avg("age"),
    "long-sum": lambda: aggregator.long_sum("age"),
    "fixed-point-sum": lambda: aggregator.fixed_point_sum("age"),
    "floating-point-sum": lambda: aggregator.floating_point_sum("age"),
    "double-sum": lambda: aggregator.double_sum("height"),
    "double-avg": lambda: aggregator.double_avg("height"),
    "number-avg": lambda: aggregator.number_avg("age"),
    "max": lambda: aggregator.max_("age"),
    "min": lambda: aggregator.min_("name"),
    "max-by": lambda: aggregator.max_by("age"),
    "min-by": lambda: aggregator.min_by("age"),
    "missing": lambda: aggregator.int_sum("nothing"),
}


def _declare(form):
    for name, make in PREDICATES.items():

        @case(f"map.query-{form}-{name}")
        def _(it, make=make):
            entries = filled(it, form)
            it.see(lambda: sorted(entries.key_set(make())))

    for name, make in AGGREGATORS.items():

        @case(f"map.aggregate-{form}-{name}")
        def _(it, make=make):
            entries = filled(it, form)

            def aggregate():
                result = entries.aggregate(make())
                return set(result) if isinstance(result, (list, set)) else result

            it.see(aggregate)

    @case(f"map.project-{form}")
    def _(it):
        entries = filled(it, form)
        it.see_unordered(entries.project, projection.single_attribute("name"))
        it.see_unordered(entries.project, projection.single_attribute("nothing"))
        it.see_unordered(entries.project, projection.multi_attribute("age", "active"))
        it.see_unordered(
            entries.project, projection.single_attribute("age"), predicate.greater("age", 30)
        )


for form in ("json", "portable", "compact"):
    _declare(form)


@case("map.query-plain-values")
def _(it):
    entries = it.client.get_map(it.fresh()).blocking()
    entries.put_all({f"k{n}": n for n in range(10)})
    it.see_unordered(entries.key_set, predicate.greater("this", 6))
    it.see_unordered(entries.values, predicate.in_("__key", "k1", "k2"))
    it.see_unordered(entries.entry_set, predicate.less("this", 2))
    it.see(entries.remove_all, predicate.greater("this", 3))
    it.see(entries.size)
    it.see(entries.aggregate, aggregator.int_sum("this"), predicate.less("this", 3))


@case("map.project-identity")
def _(it):
    entries = it.client.get_map(it.fresh()).blocking()
    entries.put_all({"k": 1})
    it.see_unordered(entries.project, projection.identity())


@case("map.query-pages")
def _(it):
    entries = it.client.get_map(it.fresh()).blocking()
    entries.put_all({n: n * 2 for n in range(25)})
    page = predicate.paging(predicate.greater("this", 9), 7)
    for _ in range(4):
        it.see(lambda: list(entries.key_set(page)))
        page.next_page()
    page.page = 1
    it.see(lambda: list(entries.values(page)))
    page.previous_page()
    it.see(lambda: list(entries.entry_set(page)))
    page.reset()
    it.note(page.page)


@case("map.query-pages-of-mixed-values")
def _(it):
    entries = it.client.get_map(it.fresh()).blocking()
    entries.put_all({1: "a", 2: "b"})
    it.see(lambda: list(entries.values(predicate.paging(None, 5))))
    it.see(lambda: entries.key_set(predicate.paging(None, 0)))
