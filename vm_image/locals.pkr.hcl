locals {
  versions = jsondecode(file("${path.root}/versions.json"))
  # Where the build's own files lie on the VM; removed before the image is taken.
  staging = "/tmp/coldforge"
  # Where the image keeps what it runs.
  home = "/opt/coldforge"
}
