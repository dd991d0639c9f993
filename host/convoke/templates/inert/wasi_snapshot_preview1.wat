;; Implements the WASI functions that language runtimes call, inside the component, so that a
;; mode imports none of them from its host. There are no files, no arguments, no environment and
;; no randomness. The clock is a counter: each reading advances it by one microsecond, and a
;; sleep advances it to its end and returns at once.
(module
  (import "env" "memory" (memory 0))

  ;; In nanoseconds.
  (global $now (mut i64) (i64.const 1000000000))

  ;; Error numbers of WASI.
  (global $badf i32 (i32.const 8))
  (global $nosys i32 (i32.const 52))

  (func $nothing (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $nothing))
  (export "environ_sizes_get" (func $nothing))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $to i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store align=1 (local.get $to) (global.get $now))
    (i32.const 0))
  (func (export "clock_res_get") (param $clock i32) (param $to i32) (result i32)
    (i64.store align=1 (local.get $to) (i64.const 1000))
    (i32.const 0))

  ;; Reports the earliest clock subscription as due, and advances the clock to it. If all
  ;; subscriptions are for files, the first one gets the error badf.
  (func (export "poll_oneoff") (param $from i32) (param $to i32) (param $count i32) (param $events i32) (result i32)
    (local $left i32) (local $at i32) (local $due i64) (local $first i32) (local $first_due i64)
    (if (i32.eqz (local.get $count)) (then (return (i32.const 28))))
    (local.set $left (local.get $count))
    (local.set $at (local.get $from))
    (loop $each
      (if (i32.eqz (i32.load8_u offset=8 (local.get $at))) (then
        (local.set $due (i64.load offset=24 align=1 (local.get $at)))
        (if (i32.eqz (i32.and (i32.load16_u offset=40 align=1 (local.get $at)) (i32.const 1))) (then
          (local.set $due (i64.add (local.get $due) (global.get $now)))))
        (if (i32.or (i32.eqz (local.get $first)) (i64.lt_u (local.get $due) (local.get $first_due))) (then
          (local.set $first (local.get $at))
          (local.set $first_due (local.get $due))))))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $each (local.get $left)))
    (i64.store offset=8 align=1 (local.get $to) (i64.const 0))
    (i64.store offset=16 align=1 (local.get $to) (i64.const 0))
    (i64.store offset=24 align=1 (local.get $to) (i64.const 0))
    (if (local.get $first)
      (then
        (if (i64.gt_u (local.get $first_due) (global.get $now)) (then
          (global.set $now (local.get $first_due)))))
      (else
        (local.set $first (local.get $from))
        (i32.store16 offset=8 align=1 (local.get $to) (global.get $badf))
        (i32.store8 offset=10 (local.get $to) (i32.load8_u offset=8 (local.get $from)))))
    (i64.store align=1 (local.get $to) (i64.load align=1 (local.get $first)))
    (i32.store align=1 (local.get $events) (i32.const 1))
    (i32.const 0))

  ;; Output is discarded, and reported as written: modes use the log interface instead.
  (func (export "fd_write") (param $file i32) (param $from i32) (param $count i32) (param $to i32) (result i32)
    (local $written i32)
    (if (i32.gt_u (i32.sub (local.get $file) (i32.const 1)) (i32.const 1)) (then (return (global.get $badf))))
    (loop $each
      (if (local.get $count) (then
        (local.set $written (i32.add (local.get $written) (i32.load offset=4 align=1 (local.get $from))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $each))))
    (i32.store align=1 (local.get $to) (local.get $written))
    (i32.const 0))
  (func (export "fd_fdstat_get") (param $file i32) (param $to i32) (result i32)
    (if (i32.gt_u (local.get $file) (i32.const 2)) (then (return (global.get $badf))))
    (i64.store align=1 (local.get $to) (i64.const 2)) ;; a character device
    (i64.store offset=8 align=1 (local.get $to) (i64.const 0))
    (i64.store offset=16 align=1 (local.get $to) (i64.const 0))
    (i32.const 0))

  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; An error, because predictable bytes would make insecure keys. Go then seeds its maps from
  ;; another source.
  (func (export "random_get") (param i32 i32) (result i32) (global.get $nosys))

  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (global.get $badf))
  (func (export "fd_close") (param i32) (result i32) (global.get $badf))
  (func (export "fd_datasync") (param i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (global.get $badf))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (global.get $badf))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_renumber") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (global.get $badf))
  (func (export "fd_sync") (param i32) (result i32) (global.get $badf))
  (func (export "fd_tell") (param i32 i32) (result i32) (global.get $badf))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (global.get $badf))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (global.get $badf))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "proc_raise") (param i32) (result i32) (global.get $nosys))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (global.get $badf)))
