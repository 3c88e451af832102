module bypass

go 1.22
