# A machine in namespaces of its own: systemd over a copy-on-write view of this one, with a loopback
# alone. machine.sh FOLDER: an empty folder, for what it writes. Run it by `unshare`, as
# test_systemd.py does; the namespaces, and all processes and mounts in them, end with it.
set -eu
folder=$1
mount -t tmpfs none "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs none sys/fs
mkdir sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run
mount -t tmpfs none tmp
mount -t tmpfs none etc/systemd/system # no service of this machine is started
cp "$2" etc/systemd/system/sealyard.service
ln -s /lib/systemd/system/basic.target etc/systemd/system/default.target
ip link set lo up
exec env -i container=other PATH=/usr/sbin:/usr/bin chroot . /lib/systemd/systemd --system --log-target=null
