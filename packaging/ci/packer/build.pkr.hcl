# packer build -var hostcheck=dist/hostcheck.pyz packaging/ci/packer

variable "hostcheck" {
  type        = string
  description = "hostcheck.pyz, for inside the machine and, where no hostcheck is installed, for here."
}

variable "policy" {
  type    = string
  default = "golden-image"
}

variable "image" {
  type    = string
  default = "output/image.qcow2"
}

variable "reports" {
  type    = string
  default = "output"
}

build {
  sources = ["source.qemu.image"]

  # While it runs: what this boot is like. It is taken away again, for nothing of it belongs into the image.
  provisioner "file" {
    source      = var.hostcheck
    destination = "/tmp/hostcheck.pyz"
  }

  provisioner "shell" {
    # As root: what only root may read is unknown to others.
    execute_command = "chmod +x {{ .Path }}; env {{ .Vars }} $(test $(id -u) = 0 || echo sudo -E) {{ .Path }}"
    inline = [
      "python3 /tmp/hostcheck.pyz --policy docker && code=0 || code=$?",
      "rm /tmp/hostcheck.pyz",
      "exit $code",
    ]
  }

  # The finished file: what its next boot will be like, and what must not be baked in.
  post-processor "shell-local" {
    inline = [
      "hostcheck ${var.image} --policy ${var.policy} -f table -f junit:${var.reports}/hostcheck.xml -f html:${var.reports}/hostcheck.html",
    ]
  }
}
