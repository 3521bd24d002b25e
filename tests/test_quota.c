/*
 * Quotas of control groups, read from made trees of /proc and of groups: both versions, groups above the process's own,
 * what a container sees, and files that are missing or broken. Each case is a list of files.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cpu/processors.h"
#include "cpu/quota.h"
#include "support/suite.h"

#define GROUP "/proc/self/cgroup"
#define MOUNTS "/proc/self/mountinfo"
#define SECOND "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define FIRST "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHERS                                                                                                         \
    "22 28 0:20 / /proc rw,relatime shared:14 - proc proc rw\n"                                                        \
    "34 32 0:30 / /sys/fs/cgroup/cpuset rw shared:15 - cgroup cgroup rw,cpuset\n"                                      \
    "a broken line\n36 1 2 / - cgroup2\n"

static char root[512];

typedef struct file {
    const char *path, *text;
} file;

static void write_file(const char *path, const char *text) {
    char whole[2048];
    ck_assert_int_lt(snprintf(whole, sizeof whole, "%s%s", root, path), (int)sizeof whole);
    for (char *end = strchr(whole + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = '\0';
        (void)mkdir(whole, 0700);
        *end = '/';
    }
    FILE *stream = fopen(whole, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_ge(fputs(text, stream), 0);
    ck_assert_int_eq(fclose(stream), 0);
}

static void expect(int64_t processors, const char *what, const file *files) {
    static int trees;
    snprintf(root, sizeof root, "%s/quota_tree/%d", CLATTN_TEST_BINARY_DIR, trees++);
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
    for (; files->path; files++) {
        write_file(files->path, files->text);
    }
    int64_t got = attn_quota_processors(root);
    ck_assert_msg(got == processors, "%s: %d processors, not %d", what, (int)got, (int)processors);
}
#define EXPECT(processors, what, ...) expect(processors, what, (const file[]){ __VA_ARGS__, { NULL, NULL } })

START_TEST(test_second_version) {
    EXPECT(0, "nothing there", { "/other", "" });
    EXPECT(0, "no limit", { GROUP, "0::/a\n" }, { MOUNTS, OTHERS SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "max 100000\n" });
    EXPECT(2, "two", { GROUP, "0::/a\n" }, { MOUNTS, OTHERS SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "200000 100000\n" });
    EXPECT(2, "rounded up", { GROUP, "0::/a\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "100001 100000\n" });
    EXPECT(1, "at least one", { GROUP, "0::/a\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "1000 100000\n" });
    EXPECT(1, "none at all", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "0 100000\n" });
    EXPECT(3, "the usual period", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "300000\n" });
    EXPECT(4, "a group above", { GROUP, "0::/a/b/c\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "400000 100000\n" }, { "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n" },
           { "/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n" });
    EXPECT(5, "the process's own is less", { GROUP, "0::/a/b\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "600000 100000\n" }, { "/sys/fs/cgroup/a/b/cpu.max", "500000 100000\n" });
    EXPECT(0, "a group beside", { GROUP, "0::/a\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/b/cpu.max", "100000 100000\n" });
}
END_TEST

START_TEST(test_containers) {
    EXPECT(2, "a namespace of its own", { GROUP, "0::/\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/cpu.max", "150000 100000\n" });
    EXPECT(3, "a mount that shows a part", { GROUP, "0::/docker/abc/inner\n" },
           { MOUNTS, "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n" },
           { "/sys/fs/cgroup/inner/cpu.max", "300000 100000\n" }, { "/sys/fs/cgroup/cpu.max", "max 100000\n" });
    EXPECT(6, "the root of such a mount", { GROUP, "0::/docker/abc\n" },
           { MOUNTS, "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n" },
           { "/sys/fs/cgroup/cpu.max", "600000 100000\n" });
    EXPECT(7, "a group outside of the mount", { GROUP, "0::/docker/abcdef\n" },
           { MOUNTS, "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n" },
           { "/sys/fs/cgroup/cpu.max", "700000 100000\n" }, { "/sys/fs/cgroup/def/cpu.max", "100000 100000\n" });
    EXPECT(2, "a group outside of the namespace", { GROUP, "0::/../other\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/cpu.max", "200000 100000\n" }, { "/sys/fs/other/cpu.max", "100000 100000\n" });
    EXPECT(4, "a mount point with a space", { GROUP, "0::/a\n" },
           { MOUNTS, "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup rw\n" },
           { "/my groups/a/cpu.max", "400000 100000\n" });
}
END_TEST

START_TEST(test_first_version) {
    static const char groups[] = "5:cpuset:/set\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/y\n";
#define AT "/sys/fs/cgroup/cpu,cpuacct/a/b/"
    EXPECT(0, "no limit", { GROUP, groups }, { MOUNTS, OTHERS FIRST }, { AT "cpu.cfs_quota_us", "-1\n" },
           { AT "cpu.cfs_period_us", "100000\n" });
    EXPECT(3, "rounded up", { GROUP, groups }, { MOUNTS, OTHERS FIRST }, { AT "cpu.cfs_quota_us", "250000\n" },
           { AT "cpu.cfs_period_us", "100000\n" });
    EXPECT(5, "another period", { GROUP, groups }, { MOUNTS, FIRST }, { AT "cpu.cfs_quota_us", "250000\n" },
           { AT "cpu.cfs_period_us", "50000\n" });
    EXPECT(0, "no period", { GROUP, groups }, { MOUNTS, FIRST }, { AT "cpu.cfs_quota_us", "250000\n" });
    EXPECT(2, "a group above", { GROUP, groups }, { MOUNTS, FIRST },
           { "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "20000\n" },
           { "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "10000\n" });
    EXPECT(1, "both versions", { GROUP, groups },
           { MOUNTS, FIRST "40 1 0:9 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n" },
           { AT "cpu.cfs_quota_us", "250000\n" }, { AT "cpu.cfs_period_us", "100000\n" },
           { "/sys/fs/cgroup/unified/y/cpu.max", "100000 100000\n" });
    EXPECT(2, "docker's", { GROUP, "4:cpu,cpuacct:/docker/abc\n" },
           { MOUNTS, "33 32 0:29 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" },
           { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n" },
           { "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n" });
#undef AT
}
END_TEST

START_TEST(test_broken_files) {
    static char line[5000], text[6000];
    memset(line, 'x', sizeof line - 1);
    snprintf(text, sizeof text, "50 1 0:50 / /merged rw - overlay overlay rw,lowerdir=%s\n" SECOND, line);
    EXPECT(2, "a long line before", { GROUP, "0::/a\n" }, { MOUNTS, text },
           { "/sys/fs/cgroup/a/cpu.max", "200000 100000" });
    snprintf(text, sizeof text, "0::/%s\n", line);
    EXPECT(0, "a long group", { GROUP, text }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/cpu.max", "200000 100000" });
    line[1010] = '\0';
    snprintf(text, sizeof text, "0::/%s\n", line);
    EXPECT(0, "a group that just fits its line", { GROUP, text }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/cpu.max", "200000 100000" });
    EXPECT(0, "no numbers", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "many\n" });
    EXPECT(0, "an empty file", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "" });
    EXPECT(0, "a period of 0", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "1000 0\n" });
    EXPECT(0, "a number beyond 64 bits", { GROUP, "0::/a\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "99999999999999999999999 100000\n" });
    EXPECT(0, "no groups", { GROUP, "nonsense\n\n::\n0:\n" }, { MOUNTS, SECOND },
           { "/sys/fs/cgroup/a/cpu.max", "1 1\n" });
}
END_TEST

/* The number of threads that a runtime takes by itself: the processors, and no more than the quota. */
START_TEST(test_number_of_threads) {
    attn_processors processors;
    clattn_device_info info;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    attn_processors_ask(&processors);
    ck_assert_int_ge(processors.count, 1);
    clattn_runtime *runtime = suite_runtime(&options);
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.compute_units, attn_processors_threads(&processors, ""));
    clattn_runtime_destroy(runtime);
    processors.count = 8;
    EXPECT(3, "of three", { GROUP, "0::/a\n" }, { MOUNTS, SECOND }, { "/sys/fs/cgroup/a/cpu.max", "300000 100000\n" });
    ck_assert_int_eq(attn_processors_threads(&processors, root), 3);
    processors.count = 2;
    ck_assert_int_eq(attn_processors_threads(&processors, root), 2);
    EXPECT(0, "no limit", { GROUP, "0::/a\n" }, { MOUNTS, SECOND });
    ck_assert_int_eq(attn_processors_threads(&processors, root), 2);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_second_version, test_containers, test_first_version, test_broken_files,
                                   test_number_of_threads };
    return suite_run(SUITE_OF("quota", tests, 30), SUITE_FORK);
}
