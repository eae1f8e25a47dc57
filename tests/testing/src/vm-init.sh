#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a virtual machine: mounts what Linux programs count on, runs each of /steps, and ends the
# machine. tests/testing/src/vm.rs reads the lines that begin with "vm: ".

/usr/bin/busybox mount -t proc proc /proc
/usr/bin/busybox --install -s /usr/bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for directory in /run /tmp; do
    mount -t tmpfs tmpfs $directory
done
for module in /modules/*; do
    insmod $module
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
mount -t ext4 /dev/vda /var
rmdir /var/lost+found
# No carriage returns before newlines.
stty -onlcr </dev/console

for step in /steps/*; do
    echo "vm: step ${step##*/}"
    # Not on the console: on a terminal, long work shows its progress.
    sh "$step" </dev/null >/run/output 2>&1
    code=$?
    cat /run/output
    # An output may end without a newline.
    printf '\nvm: exit %d\n' $code
done
poweroff -f
