module mode

go 1.24
