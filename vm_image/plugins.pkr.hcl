# A file of its own: Packer 1.6.6, which checks the others offline, does not know this block.
packer {
  required_version = ">= 1.7.0"

  required_plugins {
    azure = {
      source  = "github.com/hashicorp/azure"
      version = "2.6.3"
    }
  }
}
