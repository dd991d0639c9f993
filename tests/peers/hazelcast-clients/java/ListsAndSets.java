import com.hazelcast.collection.IList;
import com.hazelcast.collection.ISet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.ListIterator;
import java.util.UUID;

/** Lists and sets. */
final class ListsAndSets {
    private ListsAndSets() {}

    private interface ListBody {
        void run(Case it, IList<Object> list) throws Exception;
    }

    private interface SetBody {
        void run(Case it, ISet<Object> set) throws Exception;
    }

    private static void list(String name, ListBody body) {
        Main.add("list." + name, it -> body.run(it, it.client().getList(it.fresh())));
    }

    private static void set(String name, SetBody body) {
        Main.add("set." + name, it -> body.run(it, it.client().getSet(it.fresh())));
    }

    static void add() {
        list("add-and-get", (it, list) -> {
            it.see(() -> list.add("a"));
            it.see(() -> list.add("b"));
            it.see(() -> list.add("a"));
            it.act(() -> list.add(1, "c"));
            it.act(() -> list.add(0, "first"));
            it.act(() -> list.add(5, "last"));
            it.see(() -> new ArrayList<>(list));
            it.see(() -> list.get(0));
            it.see(() -> list.get(5));
            it.see(() -> list.set(2, "C"));
            it.see(() -> list.indexOf("a"));
            it.see(() -> list.lastIndexOf("a"));
            it.see(() -> list.indexOf("x"));
            it.see(list::size);
        });
        list("bounds", (it, list) -> {
            it.see(() -> list.get(0));
            it.see(() -> list.remove(0));
            it.see(() -> list.set(0, "x"));
            list.addAll(List.of(1, 2, 3));
            it.see(() -> list.get(-1));
            it.see(() -> list.get(3));
            it.act(() -> list.add(4, 4));
            it.see(() -> list.set(3, "x"));
            it.see(() -> list.set(-1, "x"));
            it.see(() -> list.remove(3));
            it.see(() -> list.remove(-1));
            it.see(() -> list.addAll(4, List.of(9)));
            it.see(() -> new ArrayList<>(list));
        });
        list("negative-index", (it, list) -> {
            list.addAll(List.of(1, 2, 3));
            it.act(() -> list.add(-1, 4));
            it.see(() -> list.addAll(-1, List.of(9)));
            it.see(() -> new ArrayList<>(list));
        });
        list("sub-list", (it, list) -> {
            list.addAll(List.of(0, 1, 2, 3, 4));
            it.see(() -> new ArrayList<>(list.subList(1, 3)));
            it.see(() -> new ArrayList<>(list.subList(0, 5)));
            it.see(() -> new ArrayList<>(list.subList(2, 2)));
            it.see(() -> list.subList(3, 1));
            it.see(() -> list.subList(-1, 2));
            it.see(() -> list.subList(0, 6));
        });
        list("remove", (it, list) -> {
            list.addAll(List.of("a", "b", "a", "c"));
            it.see(() -> list.remove("a"));
            it.see(() -> list.remove("x"));
            it.see(() -> list.remove(0));
            it.see(() -> list.removeAll(List.of("c", "x")));
            it.see(() -> list.removeAll(List.of("x")));
            it.see(() -> new ArrayList<>(list));
            it.see(() -> list.retainAll(List.of("x")));
            it.see(list::isEmpty);
        });
        list("add-all", (it, list) -> {
            it.see(() -> list.addAll(List.of(1, 2)));
            it.see(() -> list.addAll(1, List.of("x", "y")));
            it.see(() -> list.addAll(List.of()));
            it.see(() -> list.addAll(0, List.of()));
            it.see(() -> new ArrayList<>(list));
            it.see(() -> list.contains(2));
            it.see(() -> list.containsAll(List.of(1, 2)));
            it.see(() -> list.containsAll(List.of(1, 3)));
            it.see(list::toArray);
            it.act(list::clear);
            it.see(list::size);
        });
        list("iterators", (it, list) -> {
            list.addAll(List.of(1, 2, 3));
            ListIterator<Object> iterator = list.listIterator(1);
            it.see(iterator::next);
            it.see(iterator::previous);
            it.see(() -> {
                iterator.set(5);
                return null;
            });
            it.see(() -> list.listIterator().nextIndex());
            it.see(() -> list.listIterator(3).hasNext());
        });
        list("iterator-beyond-the-end", (it, list) -> it.see(() -> list.listIterator(9)));
        list("null-arguments", (it, list) -> {
            it.see(() -> list.add(null));
            it.act(() -> list.add(0, null));
            it.see(() -> list.contains(null));
            it.see(() -> list.indexOf(null));
            it.see(() -> list.addAll(Arrays.asList(1, null)));
            it.see(() -> list.remove(null));
            it.see(list::size);
        });
        list("listener", (it, list) -> {
            Queues.All all = new Queues.All();
            UUID id = list.addItemListener(all, true);
            list.add("a");
            list.add(0, "b");
            list.set(0, "c");
            list.addAll(List.of("d", "e"));
            list.remove("e");
            it.events(all.events, 7);
            it.see(() -> list.removeItemListener(id));
            it.see(() -> list.removeItemListener(id));
        });
        list("listener-of-clear", (it, list) -> {
            Queues.All all = new Queues.All();
            list.addAll(List.of("a", "b", "c"));
            list.addItemListener(all, true);
            list.clear();
            it.eventsOfKeys(all.events, 3);
        });
        list("listener-of-remove-by-index", (it, list) -> {
            Queues.All all = new Queues.All();
            list.add("a");
            list.addItemListener(all, true);
            list.remove(0);
            it.events(all.events, 1);
        });
        list("listener-without-value", (it, list) -> {
            Queues.All all = new Queues.All();
            list.addItemListener(all, false);
            list.add("a");
            list.remove("a");
            it.events(all.events, 2);
        });
        list("items-of-all-kinds", (it, list) -> {
            list.addAll(List.of("", 1, 1L, "ü", new Types.JavaPoint(1, 2),
                    new Types.CompactPerson("Ann", 1, true, null, null)));
            it.see(() -> new ArrayList<>(list));
            it.see(() -> list.indexOf(1L));
            it.see(() -> list.indexOf(new Types.JavaPoint(1, 2)));
        });
        list("large", (it, list) -> {
            List<Integer> items = new ArrayList<>();
            for (int item = 0; item < 5_000; item++) {
                items.add(item);
            }
            it.see(() -> list.addAll(items));
            it.see(() -> list.get(4_999));
            it.see(() -> list.subList(4_990, 5_000).toArray());
            it.act(() -> list.add(2_500, "middle"));
            it.see(() -> list.indexOf(4_999));
            it.see(() -> list.size());
        });
        list("destroy-and-use-again", (it, list) -> {
            list.add(1);
            it.act(list::destroy);
            it.see(() -> it.client().getList(it.fresh()).size());
            it.see(() -> it.client().getList(it.fresh()).add(2));
        });

        set("add-and-remove", (it, set) -> {
            it.see(() -> set.add(1));
            it.see(() -> set.add(1));
            it.see(() -> set.add(1L));
            it.see(() -> set.contains(1));
            it.see(() -> set.contains(2));
            it.see(set::size);
            it.see(() -> set.remove(1));
            it.see(() -> set.remove(1));
            it.note(Text.sorted(set));
        });
        set("collections", (it, set) -> {
            it.see(() -> set.addAll(List.of("a", "b", "c")));
            it.see(() -> set.addAll(List.of("a", "b")));
            it.see(() -> set.addAll(List.of("a", "d")));
            it.see(() -> set.addAll(List.of()));
            it.note(Text.sorted(set));
            it.see(() -> set.containsAll(List.of("a", "d")));
            it.see(() -> set.containsAll(List.of("a", "x")));
            it.see(() -> set.removeAll(List.of("a", "x")));
            it.see(() -> set.removeAll(List.of("x")));
            it.see(() -> set.retainAll(List.of("b", "c")));
            it.see(() -> set.retainAll(List.of("b", "c")));
            it.note(Text.sorted(set));
            it.act(set::clear);
            it.see(set::isEmpty);
        });
        set("null-arguments", (it, set) -> {
            it.see(() -> set.add(null));
            it.see(() -> set.contains(null));
            it.see(() -> set.remove(null));
            it.see(() -> set.addAll(Arrays.asList(1, null)));
            it.see(set::size);
        });
        set("listener", (it, set) -> {
            Queues.All all = new Queues.All();
            UUID id = set.addItemListener(all, true);
            set.add("a");
            set.add("a");
            set.remove("a");
            set.remove("a");
            set.addAll(List.of("b", "c"));
            set.clear();
            it.eventsOfKeys(all.events, 6);
            it.see(() -> set.removeItemListener(id));
            it.see(() -> set.removeItemListener(id));
        });
        set("items-of-all-kinds", (it, set) -> {
            it.see(() -> set.addAll(List.of("", 0, 0L, 0.0, new Types.JavaPoint(1, 2),
                    new Types.CompactPerson("Ann", 1, true, null, null))));
            it.see(set::size);
            it.see(() -> set.contains(new Types.JavaPoint(1, 2)));
            it.see(() -> set.contains(""));
            it.note(Text.sorted(set));
        });
        set("large", (it, set) -> {
            List<Integer> items = new ArrayList<>();
            for (int item = 0; item < 5_000; item++) {
                items.add(item % 4_000);
            }
            it.see(() -> set.addAll(items));
            it.see(set::size);
            it.see(() -> set.contains(3_999));
        });
        set("destroy-and-use-again", (it, set) -> {
            set.add(1);
            it.act(set::destroy);
            it.see(() -> it.client().getSet(it.fresh()).size());
            it.see(() -> it.client().getSet(it.fresh()).add(1));
        });
    }
}
