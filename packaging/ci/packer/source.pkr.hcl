# A cloud image, for an example; put your own source here.

variable "base" {
  type        = string
  default     = "base.qcow2"
  description = "A cloud image whose user can log in with a password."
}

variable "base_checksum" {
  type    = string
  default = "none"
}

variable "password" {
  type      = string
  default   = "packer"
  sensitive = true
}

source "qemu" "image" {
  iso_url          = var.base
  iso_checksum     = var.base_checksum
  disk_image       = true
  format           = "qcow2"
  output_directory = "output"
  vm_name          = "image.qcow2"
  headless         = true
  ssh_username     = "debian"
  ssh_password     = var.password
  ssh_timeout      = "10m"
  shutdown_command = "sudo poweroff"
}
